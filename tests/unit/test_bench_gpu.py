"""What bench/gpu.sh runs, as far as a machine without a GPU can show it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import gpu_scout, gpu_tools, gpu_weights
from models import store
from models.errors import ModelMissing

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "bench" / "gpu.sh"
CALL = {
    "name": "place_order",
    "arguments": {
        "customer": {"city": "Turku", "express": True},
        "items": [
            {"sku": "A-1", "quantity": 1, "options": ["red"]},
            {"sku": "A-2", "quantity": 2, "options": []},
        ],
    },
}


def run(*steps: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = os.environ | {"PYTHON": sys.executable} | environment
    return subprocess.run(
        [SCRIPT, *steps], env=given, capture_output=True, text=True, timeout=300, check=False
    )


def driver(folder: Path, script: str) -> str:
    """A PATH on which nvidia-smi is `script`."""
    probe = folder / "nvidia-smi"
    probe.write_text(f"#!/bin/sh\n{script}\n")
    probe.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_without_a_gpu_it_says_what_it_would_need(tmp_path: Path) -> None:
    """And that first: nothing has to be installed to be told."""
    done = run(PATH=driver(tmp_path, "exit 9"), PYTHON="/nowhere/python")  # a driver without a card
    assert done.returncode == 3
    for word in ("NVIDIA GPU", "scout", "tools", "engine", "graph", "make setup PROFILE=gpu"):
        assert word in done.stderr


def test_a_wrong_step_or_python_is_said_plainly(tmp_path: Path) -> None:
    assert run("scuot").returncode == 2
    assert "no step is called 'scuot'" in run("scuot").stderr
    done = run(PATH=driver(tmp_path, "exit 0"), PYTHON="/nowhere/python")
    assert (done.returncode, "there is no /nowhere/python" in done.stderr) == (2, True)


def test_help_is_the_head_of_the_script() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("What a machine with an NVIDIA GPU does")
    assert done.stdout.rstrip().endswith("(.venv/bin/python)")


def test_the_scout_step_runs_on_the_processor(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    try:
        store.path("all-minilm-l6-v2")
    except ModelMissing as missing:
        pytest.skip(str(missing))
    place = tmp_path / "scout.json"
    command = [
        sys.executable,
        "-m",
        "bench.gpu_scout",
        "--device",
        "cpu",
        "--bits",
        "32",
        "--batch",
        "1",
        "2",
    ]
    command += ["--runs", "3", "--tokens", "16", "--json", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(place.read_text())
    assert [(row["bits"], row["batch"]) for row in told["rows"]] == [(32, 1), (32, 2)]
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in told["rows"])
    assert told["machine"]["cores"]


@pytest.mark.parametrize(
    ("bits", "device", "said"), [(4, "cpu", "on a GPU only"), (16, "cuda", "sees no NVIDIA")]
)
def test_what_cannot_be_loaded_here_is_said(bits: int, device: str, said: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ValueError, match=said):
        gpu_weights.weights(tmp_path, bits, device, causal=False)


@pytest.mark.parametrize(
    ("text", "dropped", "valid"),
    [
        pytest.param(json.dumps(CALL), False, True, id="right"),
        pytest.param(f'Sure, "here" it is:\n{json.dumps(CALL)}\nDone.', False, True, id="with-prose"),
        pytest.param(json.dumps(CALL)[:-1], True, False, id="last-brace-dropped"),
        pytest.param(json.dumps(CALL).replace("]}]", "]}"), True, False, id="inner-bracket-dropped"),
        pytest.param(json.dumps(CALL).replace("Turku", 'Tu}r]ku\\"'), False, True, id="brackets-in-a-string"),
        pytest.param(json.dumps(CALL | {"arguments": {}}), False, False, id="schema-broken"),
        pytest.param("I cannot do that.", True, False, id="no-call"),
    ],
)
def test_brackets_and_calls_are_counted(text: str, dropped: bool, valid: bool) -> None:
    assert gpu_tools.drops_bracket(text) is dropped
    assert gpu_tools.is_valid_call(text) is valid


def test_the_questions_are_always_the_same_and_all_different() -> None:
    made = gpu_tools.questions(100)
    assert made == gpu_tools.questions(100)
    assert len(set(made)) == 100


def test_counts_are_summed() -> None:
    told = gpu_tools.counted([json.dumps(CALL), json.dumps(CALL)[:-2]])
    assert told == {"answers": 2, "bracket_drops": 1, "valid_calls": 1}


def test_a_batch_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu_scout.main(["--batch", "0"])
    assert "must be at least 1" in capsys.readouterr().err
