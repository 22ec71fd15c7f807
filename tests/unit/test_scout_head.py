"""What a scout artefact must be: every broken file is refused with its path and the reason.

Builds its own small artefacts; knows nothing about training.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.scout import head
from models.scout.features import BUCKETS, DENSE
from models.scout.head import ArtefactError, Head
from models.scout.prescout import PreScout

TASKS = ["other", "translation"]
COLUMNS = 3 + len(TASKS)

ABOUT: dict[str, Any] = {
    "format": head.FORMAT,
    "difficulties": ["trivial", "standard", "complex"],
    "tasks": TASKS,
    "temperatures": [1.0, 2.0],
    "version": "test",
}


def _write(path: Path, about: dict[str, Any] | None = None, **tensors: Any) -> Path:
    whole: dict[str, Any] = {
        "wide": np.zeros((BUCKETS, COLUMNS), np.float16),
        "dense": np.zeros((len(DENSE), COLUMNS), np.float32),
        "bias": np.zeros(COLUMNS, np.float32),
    }
    kept = {name: tensor for name, tensor in (whole | tensors).items() if tensor is not None}
    save_file(kept, str(path), metadata={"pointsman": json.dumps(ABOUT | (about or {}))})
    return path


def test_a_sound_artefact_loads(tmp_path: Path) -> None:
    scout, task = PreScout.load(_write(tmp_path / "a.safetensors")).score("hello")
    assert scout.trivial == scout.standard == scout.complex == pytest.approx(1 / 3)
    assert task.task == "other"
    assert task.confidence == 0.5


def test_a_tie_is_judged_the_harder_class(tmp_path: Path) -> None:
    scout, _ = PreScout.load(_write(tmp_path / "a.safetensors")).score("hello")
    assert scout.difficulty == "complex"


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        pytest.param({"wide": None}, "wide", id="tensor-missing"),
        pytest.param({"bias": np.zeros(4, np.float32)}, "columns", id="bias-too-short"),
        pytest.param({"dense": np.zeros((12, 9), np.float32)}, "columns", id="dense-too-wide"),
        pytest.param({"dense": np.zeros((3, COLUMNS), np.float32)}, "the code has", id="other-dense"),
        pytest.param({"wide": np.zeros((8, COLUMNS), np.float16)}, "the code has", id="other-buckets"),
        pytest.param({"bias": np.full(COLUMNS, np.nan, np.float32)}, "finite", id="nan"),
        pytest.param({"wide": np.full((BUCKETS, COLUMNS), np.inf, np.float16)}, "finite", id="infinite"),
    ],
)
def test_broken_tensors_are_refused(tmp_path: Path, tensors: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArtefactError, match=reason):
        PreScout.load(_write(tmp_path / "a.safetensors", **tensors))


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        pytest.param({"format": "99"}, "format '99'", id="other-format"),
        pytest.param({"difficulties": ["easy", "hard"]}, "difficulty", id="other-difficulties"),
        pytest.param({"tasks": ["other", "cooking"]}, "task type", id="unknown-task"),
        pytest.param({"tasks": ["other"]}, "columns", id="task-missing"),
        pytest.param({"temperatures": [0.0, 1.0]}, "temperature", id="temperature-zero"),
        pytest.param({"temperatures": [1.0]}, "not enough values", id="one-temperature"),
        pytest.param({"temperatures": None}, "TypeError", id="no-temperature"),
    ],
)
def test_broken_metadata_is_refused(tmp_path: Path, about: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArtefactError, match=reason):
        PreScout.load(_write(tmp_path / "a.safetensors", about))


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x80\x04K\x01."])
def test_another_kind_of_file_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"odd\.safetensors"):
        PreScout.load(path)


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"none\.safetensors"):
        PreScout.load(tmp_path / "none.safetensors")


def test_saving_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    made = Head(
        wide=np.ones((2, COLUMNS), np.float32),
        dense=np.ones((1, COLUMNS), np.float32),
        bias=np.zeros(COLUMNS, np.float32),
        tasks=("other", "translation"),
        temperatures=(1.0, 1.0),
        version="v",
    )
    for name in ("a", "b"):
        head.save(made, tmp_path / name, {"seed": "0"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert head.load(tmp_path / "a").version == "v"


def test_the_shipped_artefact_is_small_and_described() -> None:
    from models.scout.prescout import SHIPPED

    assert SHIPPED.stat().st_size < 8 * 2**20
    assert PreScout.load().version
