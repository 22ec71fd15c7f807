"""The training's own rules: weak labels, split keys, written rows, figures.

Reads the shared data sets only where they are there; trains nothing.
"""

import random
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from models.scout import augment, corpus, labels, measure, sources, train, wrapped, written
from models.scout.row import Row, question_key
from serve.signals.readings import DIFFICULTIES, Difficulty, TaskType

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
UNLICENSED = {"routerbench_part", "bfcl_outputs"}

RIGHT = {"qwen2-7b-instruct": 1.0, "gemma-2-9b-it": 1.0, "llama-3.1-8b-instruct": 1.0}


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        pytest.param(RIGHT, "trivial", id="all-small-right"),
        pytest.param(RIGHT | {"gemma-2-9b-it": 0.0}, "standard", id="most-small-right"),
        pytest.param(dict.fromkeys(RIGHT, 0.0) | {"gpt-4o": 1.0}, "complex", id="only-strong-right"),
        pytest.param(dict.fromkeys(RIGHT, 0.0), "complex", id="none-right"),
        pytest.param({"mixtral-8x7b-instruct": 1.0, "gpt-4": 1.0}, "standard", id="one-small-is-weak-proof"),
        pytest.param({"gpt-4o": 0.0}, "standard", id="no-small-model"),
    ],
)
def test_difficulty_follows_from_which_models_are_right(scores: dict[str, float], label: Difficulty) -> None:
    assert labels.difficulty_of(scores) == label


def test_a_model_that_fails_the_format_does_not_count() -> None:
    rows = [RIGHT | {"qwen2-7b-instruct": 0.0}] * 3
    broken = labels.broken_models(rows)
    assert broken == ["qwen2-7b-instruct"]
    assert labels.difficulty_of(rows[0] | {"mathstral-7b": 1.0}, broken) == "trivial"


@pytest.mark.parametrize(
    "other",
    [
        "WHAT is  the boiling point of water",
        "What is the boiling point of water?\nA. 90\nB. 100\nAnswer:",
        "What is the boiling point of water?\nAfter careful thought, put you final answer in \\boxed{}.",
    ],
)
def test_one_question_has_one_key_in_every_set(other: str) -> None:
    assert question_key(other) == question_key("What is the boiling point of water?")


def test_all_mapped_tasks_exist() -> None:
    tables = (labels.UNCOMMON_TASKS, labels.ULAB_TASKS, labels.FOLLOWBENCH_TASKS, labels.ARENA_TASKS)
    assert {task for table in tables for task in table.values()} <= set(get_args(TaskType))


def test_unlicensed_sets_are_not_named() -> None:
    assert not UNLICENSED & set(sources.LICENCES)


def test_written_rows_are_valid_and_repeatable() -> None:
    rows = list(written.rows(0))
    assert rows == list(written.rows(0)) != list(written.rows(1))
    assert {difficulty for _, _, difficulty, _ in rows} == set(DIFFICULTIES)
    assert {task for _, _, _, task in rows} <= set(get_args(TaskType))
    assert not any("{" in text.replace("{}", "") for _, text, _, _ in rows if "while" not in text)


def test_orders_around_texts_are_repeatable_and_keep_to_their_split() -> None:
    texts = [
        Row("x", f"carrier {number} of some words", f"k{number}", None, "reasoning") for number in range(40)
    ]
    carriers = {
        name: [row for row in texts if corpus.split_of(row, 0) == name]
        for name in ("train", "calibration", "test")
    }
    first = list(wrapped.rows(0, carriers, corpus.split_of))
    assert first == list(wrapped.rows(0, carriers, corpus.split_of))
    assert {row.task for row in first} >= {"classification", "extraction", "reasoning"}
    assert not any("{" in row.text.replace('{"task"', "") for row in first)
    for row in first:
        inside = [one for one in texts if one.text in row.text]
        assert {corpus.split_of(one, 0) for one in inside} <= {corpus.split_of(row, 0)}


def test_dressing_keeps_most_of_a_prompt() -> None:
    source = random.Random(3)
    for _ in range(200):
        dressed = augment.dressed("What is the tallest tree?", source)
        assert len(dressed) >= len("What is the tallest tree?") - 1
    assert augment.dressed("", random.Random(0)) is not None


def test_figures_of_known_predictions() -> None:
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    found = measure.score(shares, np.array([0, 0, 1, 1]))
    assert (found.rows, found.accuracy, found.majority) == (4, 0.75, 0.5)
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.ece == pytest.approx((2 * 0.1 + 0.2 + 0.6) / 4)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    if not DATA.is_dir():
        pytest.skip("the shared data sets are not beside the checkout")
    return corpus.read(DATA, 0)


def test_no_question_is_in_two_splits_or_two_families(rows: list[Row]) -> None:
    splits: dict[str, set[str]] = {}
    families: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(question_key(row.text), set()).add(corpus.split_of(row, 0))
        families.setdefault(row.key, set()).add(row.family)
    assert all(len(found) == 1 for found in families.values())
    assert sum(len(found) > 1 for found in splits.values()) == 0


def test_the_test_prompts_of_this_folder_are_not_training_rows(rows: list[Row]) -> None:
    source = Path(__file__).with_name("test_prescout.py").read_text("utf-8")
    copied = [row.text for row in rows if len(row.text) > 12 and f'"{row.text}"' in source]
    assert copied == []


@pytest.mark.parametrize(
    ("part", "missing"),
    [("gain", "routellm_mmlu"), ("counter", "constraints_followbench"), ("classes", "complexity_uncommon")],
)
def test_a_folder_without_the_sets_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, missing: str
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["train", "--data", str(tmp_path), "--out", str(tmp_path), "--only", part]
    )
    with pytest.raises(SystemExit, match=missing):
        train.main()


def test_a_folder_that_is_not_there_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["train", "--data", str(tmp_path / "none"), "--out", str(out)])
    with pytest.raises(SystemExit):
        train.main()
    assert "is not a folder" in capsys.readouterr().err
    assert not out.exists()
