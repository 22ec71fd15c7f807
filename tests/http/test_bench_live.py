"""The live measurements, through the real ingress, with loopback upstreams in place of the model."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.quality.__main__ import main
from tests.http.conftest import Scene

REASK = {"dispatch": {"reask": {"lane": "local-tools"}}}
WEATHER = {
    "type": "dict",
    "properties": {"city": {"type": "string", "description": "where"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}


def task(number: int, category: str, gold: list[Any] | None) -> dict[str, Any]:
    return {
        "id": f"{category}_{number}",
        "category": category,
        "question": [[{"role": "user", "content": f"Weather, please ({number})"}]],
        "function": [{"name": "get_weather", "description": "the weather", "parameters": WEATHER}],
        "ground_truth": gold,
    }


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


def tools(s: Scene, tmp_path: Path, *more: str) -> Any:
    rows = [task(n, "simple_python", [{"get_weather": {"city": ["Rome"], "days": [3]}}]) for n in (1, 2)]
    written(tmp_path / "bfcl_v4", "tasks.jsonl.gz", [*rows, task(3, "irrelevance", None)])
    out = tmp_path / "out.json"
    given = ["tools", "--live", "--data", str(tmp_path), "--url", s.url, "--json", str(out)]
    assert main([*given, "--answers", str(tmp_path / "answers.jsonl"), *more]) == 0
    return json.loads(out.read_text())["results"]["all with calls"]


@pytest.mark.parametrize(
    ("model", "step"),
    [
        ("tool_ok", "raw"),
        ("tool_fenced", "repaired"),
        ("tool_loose", "reasked"),
        ("tool_missing_required", "escalated"),
        ("503", "failed"),
        ("500", "failed"),
    ],
)
def test_the_trail_says_where_an_answer_ended(
    scene: Callable[..., Scene], tmp_path: Path, model: str, step: str
) -> None:
    s = scene(models={"local-tools": model}, **REASK)
    found = tools(s, tmp_path)
    assert {name: one["n"] for name, one in found["steps"].items() if one["n"]} == {step: 2}
    assert found["valid_after"]["reasked"] == (0.0 if step in ("escalated", "failed") else 1.0)
    assert not s.cloud.requests


def test_a_recorded_model_is_asked_for_what_is_handed_on(scene: Callable[..., Scene], tmp_path: Path) -> None:
    s = scene(models={"local-tools": "tool_missing_required"}, **REASK)
    written(
        tmp_path / "bfcl_outputs",
        "o.jsonl.gz",
        [
            {"id": "simple_python_1", "model": "big", "output": '[get_weather(city="Rome", days=3)]'},
            {"id": "simple_python_2", "model": "big", "output": '[get_weather(city="Rome")]'},
        ],
    )
    tools(s, tmp_path, "--next", "big")
    found = json.loads((tmp_path / "out.json").read_text())["next"]
    assert found == {"model": "big", "n": 2, "usable": 1, "right": 1}


def test_nothing_is_asked_twice(scene: Callable[..., Scene], tmp_path: Path) -> None:
    s = scene(models={"local-tools": "tool_loose"}, **REASK)
    first = tools(s, tmp_path)
    before = len(s.local.requests)
    assert before == 2 * 3
    assert tools(s, tmp_path) == first
    assert tools(s, tmp_path, "--kept") == first
    assert len(s.local.requests) == before


def test_a_tool_is_offered_as_the_set_describes_it(scene: Callable[..., Scene], tmp_path: Path) -> None:
    s = scene()
    tools(s, tmp_path, "--tool-choice", "required", "--sample", "1")
    [asked] = s.local.requests
    [tool] = asked.json["tools"]
    assert tool["function"]["description"] == "the weather"
    assert tool["function"]["parameters"]["properties"]["city"] == {"type": "string", "description": "where"}
    assert asked.json["tool_choice"] == "required"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    asked = [
        {"id": f"q{n}", "category": category, "prompt": f"What is {n}?\nA. one\nB. two", "answer": "AB"[n % 2],
         "scores": {"large": 1.0, "small": 0.0}}
        for n, category in enumerate(["law", "health", "history", "physics", "math"] * 10)
    ]  # fmt: skip
    texts = [
        {"id": f"t{n}", "text": f"I am Ann{n}", "spans": [{"type": "PERSON", "value": f"Ann{n}"}]}
        for n in range(40)
    ]
    written(tmp_path / "mmlu_pro", "mmlu_pro.jsonl.gz", asked)
    written(tmp_path / "pii_presidio", "synth_dataset_v2.jsonl.gz", texts)
    return tmp_path


def test_confidence_is_read_from_what_the_lane_says(scene: Callable[..., Scene], data: Path) -> None:
    """The upstream says the same of every token: no threshold tells its right answers from the wrong ones."""
    s = scene()
    out = data / "out.json"
    assert (
        main(["confidence", "--data", str(data), "--url", s.url, "--json", str(out), "--sample", "30"]) == 0
    )
    found = json.loads(out.read_text())["results"]
    assert {name: one["n"] for name, one in found.items() if not name.startswith("all")} == {
        "choice": 10,
        "field": 10,
        "subject": 10,
    }
    assert all(one["measures"]["min"]["threshold"] is None for one in found.values())
    assert all(request.json["logprobs"] for request in s.local.requests)


def test_what_failed_counts_nowhere_but_is_counted(
    scene: Callable[..., Scene], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s = scene(models={"local-tools": "500", "local-general": "500"}, dispatch={"cooldown_s": 1})
    out = data / "out.json"
    for subject in ("confidence", "preambles"):
        given = [subject, "--data", str(data), "--url", s.url, "--json", str(out), "--sample", "3"]
        assert main(given) == 0
        found = json.loads(out.read_text())
        assert found["unanswered"] > 0
        assert found["results"] == {}
        assert "got no answer (5xx)" in capsys.readouterr().out


def test_preambles_are_tried_as_the_product_would_send_them(scene: Callable[..., Scene], data: Path) -> None:
    s = scene()
    out = data / "out.json"
    assert main(["preambles", "--data", str(data), "--url", s.url, "--json", str(out), "--sample", "12"]) == 0
    found = json.loads(out.read_text())
    kinds = {"choice", "field", "subject", "all classification", "all extraction", "all"}
    assert set(found["results"]) == kinds
    firsts = [request.json["messages"][0] for request in s.local.requests]
    texts = {one["content"] for one in firsts if one["role"] == "system"}
    assert texts == {one["text"] for one in found["candidates"].values()}
    assert sum(one["role"] == "user" for one in firsts) == 2 * 12


def test_a_server_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "bfcl_v4", "tasks.jsonl.gz", [task(1, "irrelevance", None)])
    given = ["tools", "--live", "--data", str(tmp_path), "--url", "http://127.0.0.1:9"]
    assert main(given) == 1
    assert "http://127.0.0.1:9 did not answer" in capsys.readouterr().err
