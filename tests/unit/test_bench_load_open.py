"""bench.load at given times: traces, rates, lateness, spend, the HTML report, and what it says of bad input."""

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import bpe_openai
import pytest

from bench.client import Sample
from bench.load import __main__ as load
from bench.load import arrivals, page
from bench.load.arrivals import Arrival
from bench.load.texts import Texts
from bench.report import origin
from bench.summary import spilled, summary
from tests.support.serving import config, serving
from tests.support.upstream import ThreadedUpstream

ROWS = [{"t": 5 + n / 10, "in_tok": 40 + n, "out_tok": 3} for n in range(20)]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    return path


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as server:
        yield server


def run(tmp_path: Path, url: str, *arguments: str) -> dict[str, Any]:
    out = tmp_path / "result.json"
    assert load.main(["--url", url, *arguments, "--json", str(out)]) == 0
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        load.main(list(arguments))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_trace_is_asked_with_its_own_lengths(
    trace: Path, upstream: ThreadedUpstream, tmp_path: Path
) -> None:
    result = run(tmp_path, upstream.url, "--trace", str(trace), "--speed", "20", "--model", "ok")
    asked = [json.loads(request.body) for request in upstream.requests if request.method == "POST"]
    encoding = bpe_openai.get_encoding("o200k_base")
    sizes = sorted(len(encoding.encode_ordinary(body["messages"][0]["content"])) for body in asked)
    assert all(abs(size - row["in_tok"]) <= 3 for size, row in zip(sizes, ROWS, strict=True))
    assert {body["max_tokens"] for body in asked} == {3}
    assert (result["ok"], result["loop"], result["planned"]["requests"]) == (20, "open", 20)
    assert result["planned"]["seconds"] == pytest.approx(1.9 / 20, abs=0.01)
    assert result["kinds"] == {"under 1k tokens": 20}


def test_a_trace_in_a_closed_loop_and_cut_to_size(
    trace: Path, upstream: ThreadedUpstream, tmp_path: Path
) -> None:
    limits = ("--max-input", "10", "--max-tokens", "2", "--requests", "5", "--loop", "closed")
    result = run(tmp_path, upstream.url, "--trace", str(trace), *limits, "--model", "ok")
    asked = [json.loads(request.body) for request in upstream.requests if request.method == "POST"]
    assert (result["ok"], result["loop"], result["planned"]["seconds"]) == (5, "closed", None)
    assert {body["max_tokens"] for body in asked} == {2}
    assert all(len(body["messages"][0]["content"]) < 120 for body in asked)


def test_a_request_that_had_to_wait_for_its_turn_is_charged_for_it(
    upstream: ThreadedUpstream, tmp_path: Path
) -> None:
    slow = ("--model", "slow_head_200", "--concurrency", "1")
    result = run(tmp_path, upstream.url, "--rate", "1000", "--requests", "6", *slow)
    # One at a time and 200 ms each: the last one waited for five. A closed loop would have said 200 ms.
    assert result["latency_s"]["max"] >= 6 * 0.2
    assert result["sent_late_s"]["max"] >= 5 * 0.2 - 0.1
    closed = run(tmp_path, upstream.url, "--requests", "6", *slow)
    assert closed["sent_late_s"]["max"] < result["sent_late_s"]["max"]


def test_seconds_and_requests_cut_the_plan(trace: Path, upstream: ThreadedUpstream, tmp_path: Path) -> None:
    asked = ("--trace", str(trace), "--model", "ok", "--speed", "10")
    assert run(tmp_path, upstream.url, *asked, "--seconds", "0.0951")["requests"] == 10
    assert run(tmp_path, upstream.url, *asked, "--requests", "3")["requests"] == 3
    assert run(tmp_path, upstream.url, "--rate", "100", "--seconds", "0.1", "--model", "ok")["requests"] == 10


def test_a_pointsman_tells_lanes_and_spend_in_the_report_too(trace: Path, tmp_path: Path) -> None:
    html = tmp_path / "report" / "load.html"
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        url = stack.enter_context(serving(config(local.url, cloud.url)))
        result = run(tmp_path, url, "--trace", str(trace), "--speed", "50", "--stream", "--html", str(html))
    assert (result["ok"], sum(result["lanes"].values()), result["spilled"]) == (20, 20, 0)
    assert result["spend"]["answers"] == 20
    text = html.read_text()
    assert "local-general" in text
    assert text.count("<svg") == 5
    assert all(word not in text for word in ("<script", "<link", "src=", "@import", "url(http"))
    assert str(tmp_path) not in text


def test_a_report_escapes_what_a_server_says_and_can_show_only_failures(tmp_path: Path) -> None:
    samples = [Sample("<b>", 0.1, error="500 <script>alert(1)</script>", at=n / 10) for n in range(3)]
    result = origin(["x"], "2026-01-01T00:00:00+00:00", 1.0) | summary(samples, 1.0)
    page.write(tmp_path / "x.html", result | {"interrupted": True, "loop": "open"}, samples)
    text = (tmp_path / "x.html").read_text()
    assert "<script" not in text
    assert "interrupted" in text
    page.write(tmp_path / "y.html", result | {"interrupted": True, "loop": "open"}, [])
    assert (tmp_path / "y.html").read_text().endswith("</html>\n")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"trail": "a=full, b=ok"}, True, id="full"),
        pytest.param({"reason": "overflow", "trail": "b=ok"}, True, id="decided"),
        pytest.param({"trail": "a=timeout, b=ok"}, False, id="failed"),
        pytest.param({"trail": "a=ok"}, False, id="first"),
        pytest.param({}, False, id="another-server"),
    ],
)
def test_a_spill_is_an_answer_from_elsewhere_because_of_load(headers: dict[str, str], expected: bool) -> None:
    assert spilled(Sample("x", headers=headers)) is expected


def test_scale_and_speed_change_number_and_pace() -> None:
    recorded = [Arrival(10 + n, 5, 5) for n in range(2000)]
    half = arrivals.scaled(recorded, 0.5, 2, seed=1)
    assert 900 < len(half) < 1100
    assert half == arrivals.scaled(recorded, 0.5, 2, seed=1)
    assert half[0].at == 0
    assert half[-1].at <= 1000
    more = arrivals.scaled(recorded, 2.5, 1, seed=1)
    assert 4800 < len(more) < 5200
    assert [a.at for a in more] == sorted(a.at for a in more)


def test_shared_blocks_are_the_same_text() -> None:
    texts = Texts([f"Sentence {n} is about number {n * 7}." for n in range(500)], seed=1)
    one, two = (texts.prompt(Arrival(0, 1000, 1, (7, block))) for block in (8, 9))
    common = next(place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    assert common > 1500
    assert texts.prompt(Arrival(0, 1000, 1, (7, 8))) == one


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        pytest.param("", "no requests", id="empty"),
        pytest.param('{"t": 1, "in_tok": 3}', ":1: not a JSON object with the numbers", id="field-missing"),
        pytest.param('{"t": -1, "in_tok": 3, "out_tok": 1}', ":1:", id="negative"),
        pytest.param('{"t": NaN, "in_tok": 3, "out_tok": 1}', ":1:", id="nan"),
        pytest.param('{"t": "1", "in_tok": 3, "out_tok": 1}', ":1:", id="text"),
        pytest.param("[]", ":1:", id="a-list"),
        pytest.param("not json", ":1:", id="no-json"),
        pytest.param('{"t": 0, "in_tok": 3, "out_tok": 1}\n{"prompt": "a"}', ":2:", id="second-line"),
    ],
)
def test_a_wrong_trace_is_refused_by_line(
    line: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(line)
    said = refused(capsys, "--trace", str(path))
    assert "--trace" in said
    assert fault in said


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        pytest.param(["--trace", "nowhere.jsonl"], "nowhere.jsonl", id="no-file"),
        pytest.param(["--trace", "t", "--scale", "0"], "0 is not a number above 0", id="scale-0"),
        pytest.param(["--trace", "t", "--speed", "-1"], "-1 is not a number above 0", id="speed"),
        pytest.param(["--trace", "t", "--speed", "fast"], "fast is not a number above 0", id="word"),
        pytest.param(["--rate", "nan"], "nan is not a number above 0", id="rate-nan"),
        pytest.param(["--requests", "0"], "0 is not a whole number of 1 or more", id="requests-0"),
        pytest.param(["--loop", "open"], "needs the times of a --trace or a --rate", id="open-without-times"),
        pytest.param(["--loop", "closed", "--rate", "3"], "no meaning in a closed loop", id="closed-rate"),
        pytest.param(["--scale", "2"], "change a --trace", id="scale-without-trace"),
        pytest.param(["--seconds", "3"], "a closed loop has none", id="closed-seconds"),
        pytest.param(["--trace", "t", "--rate", "2"], "give one", id="trace-and-rate"),
        pytest.param(["--url", "localhost:8000"], "does not begin with http://", id="url-without-scheme"),
    ],
)
def test_wrong_options_are_named(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fault in refused(capsys, *arguments)


def test_a_scale_that_keeps_nothing_is_said(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--trace", str(trace), "--scale", "1e-9")
    assert "keeps none of the trace's 20 requests" in said


def test_nothing_is_written_when_nobody_answers(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = tmp_path / "load.html"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert load.main(["--url", url, "--trace", str(trace), "--html", str(html)]) == 1
    assert "Nothing answers at" in capsys.readouterr().err
    assert not html.exists()


def test_a_result_names_files_without_the_folders_of_a_machine() -> None:
    command = ["x", "--out", "/made/up.json", "--html=/a/b.html", "--url", "http://127.0.0.1:1", "a/b"]
    told = origin(command, "now", 1.0)["command"]
    assert told == ["x", "--out", "up.json", "--html=b.html", "--url", "http://127.0.0.1:1", "a/b"]
    assert origin(["--url", "sqlite:////var/x/s.db"], "", 0)["command"] == ["--url", "sqlite:///s.db"]
