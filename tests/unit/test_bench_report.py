"""What a bench writes into a file says nothing of the machine's folders."""

import json
import sys
from pathlib import Path

import pytest

from bench import report
from bench.machine import ROOT

RESULTS = sorted((ROOT / "bench/results").glob("*.json"))


@pytest.mark.parametrize(
    ("said", "written"),
    [
        pytest.param(f"{ROOT}/configs/cpu.yaml", "configs/cpu.yaml", id="a-file-of-this-tree"),
        pytest.param("--json=/home/me/out.json", "--json=out.json", id="after-an-option"),
        pytest.param(
            "--url sqlite:////var/lib/state.db", "--url sqlite:///state.db", id="in-a-url-of-sqlite"
        ),
        pytest.param("/opt/v/bin/python -m bench.load", "python -m bench.load", id="a-command"),
        pytest.param(
            'File "/opt/v/lib/python3.11/site-packages/ray/worker.py", line 9',
            'File "ray/worker.py", line 9',
            id="in-a-traceback",
        ),
        pytest.param(
            "POST http://127.0.0.1:8000/v1/chat/completions",
            "POST http://127.0.0.1:8000/v1/chat/completions",
            id="a-url",
        ),
        pytest.param("404 at /v1/chat/completions", "404 at /v1/chat/completions", id="a-route"),
        pytest.param(
            "meta-llama/Llama-3 at 3/4 of 80 tokens/s",
            "meta-llama/Llama-3 at 3/4 of 80 tokens/s",
            id="no-path",
        ),
    ],
)
def test_a_path_is_written_without_its_place(said: str, written: str) -> None:
    assert report.without_places(said) == written


def test_every_text_of_a_result_is_written_so(tmp_path: Path) -> None:
    place = str(tmp_path / "state.db")
    report.save(tmp_path / "out.json", {"failures": [place], "parts": [{"command": place}], "n": 3})
    found = json.loads((tmp_path / "out.json").read_text())
    assert found == {"failures": ["state.db"], "parts": [{"command": "state.db"}], "n": 3}
    assert report.origin(["python", f"--out={place}"], "now", 1)["command"] == ["python", "--out=state.db"]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_no_committed_result_names_a_place(path: Path) -> None:
    assert report.PLACE.findall(path.read_text()) == []
    assert sys.prefix not in path.read_text()
