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
from serve.outcomes.analyze.counts import Counts
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


def run(*found: object, prices: dict[str, Any] = PRICES) -> analysis.Analysis:
    log = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in found]
    models = {"cloud-openai": "strong"}
    settings = config("http://127.0.0.1:1", "http://127.0.0.1:1", models=models, prices=prices)
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
    assert (found.model, found.tokens.input, found.tokens.output) == (model, *tokens)


@pytest.mark.parametrize(
    ("usage", "seen"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 1}, Counts(9, 1)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}, Counts(9, None, 4)),
        ({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 99}}, Counts(9, None, 9)),
        ({"input_tokens": 9, "input_cached_tokens": 4, "output_tokens": 2}, Counts(9, 2, 4)),
        ({"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 2}, Counts(13, 2, 4)),
        ({"input_tokens": 9, "cache_creation_input_tokens": 5, "output_tokens": 2}, Counts(14, 2, 0, 5)),
        (
            {
                "uncached_input_tokens": 1,
                "cache_read_input_tokens": 2,
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
                "output_tokens": 5,
            },
            Counts(10, 5, 2, 7),
        ),
    ],
)
def test_what_was_cached_is_known_in_the_words_of_each_provider(usage: dict[str, Any], seen: Counts) -> None:
    assert lines.read(json.dumps({"model": "strong", "usage": usage}).encode()).tokens == seen


def test_what_was_cached_was_cheaper_before_and_is_in_no_other_cache() -> None:
    """Else a log with a warm cache would look as if Pointsman saved what the cache saves."""
    usage = {"prompt_tokens": 100, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 80}}
    prices = {"version": "test", "lanes": {"strong": {"input": 1.0, "output": 2.0, "cached_input": 0.1}}}
    found = run(chat("word " * 9000, usage=usage), prices=prices)
    assert (found.total.before, found.total.after) == (28, 28)
    other = run(chat("word " * 9000, usage=usage, model="gpt-4o"), prices=PRICES)
    assert (other.total.before, other.total.after) == (1000, 100)


OPENAI_PAGE: dict[str, Any] = {
    "object": "page",
    "data": [
        {"object": "bucket", "results": []},
        {"object": "bucket", "results": [
            {"model": "gpt-4o-2024-08-06", "num_model_requests": 7, "input_tokens": 1000, "output_tokens": 100},
            {"model": "strong", "num_model_requests": 2, "input_tokens": 10, "input_cached_tokens": 10},
        ]},
    ],
}  # fmt: skip
CSV = (
    "\ufeffusage_date_utc,model_version,api_key,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
    "usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n"
    '2026-08-05,gpt-4o,"desk, one",1000,0,0,0,100\n'
    "\n2026-08-06,strong,desk,0,0,0,10,\n"
)


@pytest.mark.parametrize(
    ("export", "calls"),
    [
        (json.dumps(OPENAI_PAGE), 9),
        (json.dumps(OPENAI_PAGE, indent=2), 9),
        (json.dumps([row for bucket in OPENAI_PAGE["data"] for row in bucket["results"]], indent=1), 9),
        ("\n".join(json.dumps({"data": [bucket]}) for bucket in OPENAI_PAGE["data"]), 9),
        (CSV, 2),
        (CSV.replace("\n", "\r\n"), 2),
    ],
)
def test_the_exports_of_providers_are_read_as_they_come(export: str, calls: int) -> None:
    found = run(*(line.encode() for line in export.splitlines(keepends=True)))
    assert (found.calls, found.bad_lines, found.judged, found.unpriced) == (calls, 0, 0, {})
    assert found.total.before == found.total.after == 11_010


def test_bad_rows_of_an_export_are_named_by_their_line() -> None:
    export = CSV + "2026-08-07,strong,desk,-4,0,0,0,1\n" + "2026-08-07\n"
    found = run(*(line.encode() for line in export.splitlines(keepends=True)))
    assert [bad.line for bad in found.bad] == [5, 6]


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
    assert page(found).lead == "7 calls for $0.011000; without messages none of them can be judged."


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
