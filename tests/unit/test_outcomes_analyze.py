"""A log of requests from elsewhere: what it would have cost here, and lines that say nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from serve.cli import app
from serve.outcomes.analyze import analysis, lines
from serve.outcomes.analyze.told import page
from serve.outcomes.show import FORMATS, written
from tests.support.serving import config

SECRET = "the zebra's password"
PRICES = {
    "version": "test",
    "lanes": {"strong": {"input": 1.0, "output": 2.0}, "gpt-4o": {"input": 10, "output": 10}},
}


def chat(text: str = "What is a noun?", **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 100, "completion_tokens": 50}
    return {"model": "strong", "messages": [{"role": "user", "content": text}], "usage": usage} | more


def run(*found: object) -> analysis.Analysis:
    log = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in found]
    models = {"cloud-openai": "strong"}
    settings = config("http://127.0.0.1:1", "http://127.0.0.1:1", models=models, prices=PRICES)
    return asyncio.run(analysis.run(log, settings))


def test_requests_are_judged_by_the_router_and_priced_before_and_after() -> None:
    long = chat("word " * 9000, usage={"prompt_tokens": 9000, "completion_tokens": 10})
    found = run(chat(), long, chat("My card is 4111 1111 1111 1111."))
    total = found.total
    assert (found.calls, found.judged, total.tier1, total.local, total.confidential) == (3, 3, 2, 2, 1)
    assert total.before == 200 + 9020 + 200
    assert total.after == 9020
    assert (total.input_tokens, total.output_tokens) == (9200, 110)


@pytest.mark.parametrize(
    ("line", "model", "tokens"),
    [
        (chat(), "strong", (100, 50)),
        ({"request": chat(usage=None), "response": {"usage": {"input_tokens": 3}}}, "strong", (3, None)),
        (
            {"body": chat(usage=None), "response": {"body": {"usage": {"prompt_tokens": 4}}}},
            "strong",
            (4, None),
        ),
        (
            {"snapshot_id": "gpt-4o", "n_context_tokens_total": 9, "n_generated_tokens_total": 8},
            "gpt-4o",
            (9, 8),
        ),
    ],
)
def test_the_usual_shapes_are_read(line: dict[str, Any], model: str, tokens: tuple[int, int | None]) -> None:
    found = lines.read(json.dumps(line).encode())
    assert (found.model, found.input_tokens, found.output_tokens) == (model, *tokens)


def test_a_usage_export_is_priced_and_not_judged() -> None:
    export = {
        "model": "gpt-4o-2024-08-06",
        "num_model_requests": 7,
        "input_tokens": 1000,
        "output_tokens": 100,
    }
    found = run(export)
    assert (found.calls, found.judged, found.unpriced) == (7, 0, {})
    assert found.total.before == found.total.after == 11_000


def test_a_model_nobody_priced_costs_what_the_baseline_costs() -> None:
    found = run(chat(model="mystery"))
    assert found.unpriced == {"mystery": 1}
    assert found.total.before > 0


BAD = [
    b"{",
    b"\xff\xfe",
    b"[1]",
    b"{}",
    b"[" * 5000,
    {"messages": []},
    {"messages": [{"role": "user", "content": 7, "x": SECRET}]},
    chat(usage={"prompt_tokens": -1}),
    chat(usage={"prompt_tokens": 1e400}),
    chat(usage={"completion_tokens": True}),
]


def test_bad_lines_are_named_by_number_and_never_quoted() -> None:
    found = run(*BAD, b"\n", chat(SECRET))
    assert (found.calls, found.bad_lines) == (1, len(BAD))
    assert [bad.line for bad in found.bad] == [*range(1, len(BAD) + 1)]
    for form in FORMATS:
        assert "zebra" not in written(page(found), form)
        assert "10" in written(page(found), form)


def test_only_bad_lines_are_an_error() -> None:
    with pytest.raises(analysis.NothingReadable, match="line 1: not JSON"):
        run(*BAD)
    with pytest.raises(analysis.NothingReadable, match="the file is empty"):
        run()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    settings = config(
        "http://127.0.0.1:1", "http://127.0.0.1:1", prices=PRICES,
        state={"url": f"sqlite:///{tmp_path}/state.db"},
    )  # fmt: skip
    path, log = tmp_path / "config.yaml", tmp_path / "log.jsonl"
    path.write_text(yaml.safe_dump(json.loads(settings.canonical)), encoding="utf-8")
    log.write_text(json.dumps(chat()) + "\n", encoding="utf-8")
    return path, log


def invoke(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


@pytest.mark.parametrize("form", FORMATS)
def test_the_commands_print_every_format_and_write_files(files: tuple[Path, Path], form: str) -> None:
    path, log = files
    for words in (["analyze", log], ["report", "--since", "24h"]):
        code, output = invoke(*words, "--config", path, "--format", form)
        assert (code, bool(output)) == (0, True), output
        kept = path.parent / "out.txt"
        assert invoke(*words, "--config", path, "--format", form, "--out", kept)[0] == 0
        assert kept.stat().st_size > 100
        if form == "json":
            assert json.loads(kept.read_text("utf-8"))


@pytest.mark.parametrize(
    "words",
    [
        ["report", "--since", "yesterday"],
        ["report", "--format", "pdf"],
        ["report", "--out", "/nowhere/at/all"],
        ["analyze", "/nowhere/log.jsonl"],
        ["analyze", "/dev/null"],
    ],
)
def test_what_cannot_be_done_is_said(files: tuple[Path, Path], words: list[str]) -> None:
    code, output = invoke(*words, "--config", files[0])
    assert (code, "Traceback" in output) == (1, False)
    assert output.strip()
