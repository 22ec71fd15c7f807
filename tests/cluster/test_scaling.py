"""Replicas follow what is asked for, and nobody's answer is cut: real Ray Serve, real HAProxy, stub engines."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import openai
import psutil
import pytest

from tests.support.stub_child import StubGraph, stub_graph
from tests.support.upstream import ThreadedUpstream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SECRET = "Fill in the form: my SSN is 536-90-4399"
LONG = "word " * 300
LASTING = 100  # words, half a second each: a busy machine scales down late, and must do so while they last
STREAMS = 45  # with the slack of a fifth still within what two replicas take


def config(cloud: str) -> dict[str, Any]:
    """`sleepy` answers long prompts and sleeps while there are none, `busy` answers the others."""
    bounds = {"upscale_delay_s": 1, "downscale_delay_s": 3, "look_back_period_s": 4}
    return {
        "keys": {"mode": "open"},
        "engines": {
            "busy": {
                "model": "stub",
                "num_cpus": 0.1,
                "max_ongoing_requests": 40,
                "max_queued_requests": 40,
                "autoscaling": bounds | {"max_replicas": 3, "target_ongoing_requests": 28},
                "vllm": {"word_s": 0.5},
            },
            "sleepy": {
                "model": "stub",
                "num_cpus": 0.1,
                "autoscaling": bounds
                | {"min_replicas": 0, "target_ongoing_requests": 5, "downscale_to_zero_delay_s": 6},
                "vllm": {"word_s": 0.1},
            },
        },
        "lanes": [
            {"name": "local-busy", "kind": "engine", "engine": "busy", "context": 8192},
            {"name": "local-sleepy", "kind": "engine", "engine": "sleepy", "context": 8192},
            {
                "name": "cloud",
                "kind": "openai",
                "model": "ok",
                "base_url": f"{cloud}/v1",
                "location": "global",
                "context": 100_000,
            },
        ],
        "policy": {
            "rules": [
                {
                    "name": "long",
                    "when": {"input_tokens_over": 200},
                    "prefer": ["local-sleepy", "cloud"],
                    "because": "long prompts wake the engine that sleeps",
                },
                {
                    "name": "default",
                    "prefer": ["local-busy", "cloud"],
                    "because": "the others go to the other one",
                },
            ]
        },
    }


@dataclass(frozen=True, slots=True)
class Scaled:
    """The running graph and its client."""

    graph: StubGraph
    ask: openai.OpenAI


@pytest.fixture(scope="module")
def scaled() -> Iterator[Scaled]:
    with ThreadedUpstream() as cloud, stub_graph(config(cloud.url)) as graph:
        client = openai.OpenAI(base_url=f"{graph.url}/v1", api_key="any", max_retries=0, timeout=120)
        with client:
            yield Scaled(graph, client)


def lane_of(scaled: Scaled, prompt: str, model: str = "auto") -> str:
    """Who answered."""
    raw = scaled.ask.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": prompt}], max_tokens=3
    )
    return raw.headers["x-pointsman-lane"]


def asleep(scaled: Scaled) -> bool:
    last = scaled.graph.seen[-1][1]["sleepy"]
    return not any(last.values())


def test_what_serves_outranks_what_starts(scaled: Scaled) -> None:
    """Replicas start when there is most to do, and the Router must not wait for them: Ray has it the other way."""
    assert scaled.graph.process is not None
    ranks: dict[str, set[int]] = {"Router": set(), "Engine-busy": set()}
    for process in psutil.Process(scaled.graph.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            for name in (name for name in ranks if title.startswith("ray::") and name in title):
                ranks[name].add(process.nice())
    assert len(ranks["Router"]) == len(ranks["Engine-busy"]) == 1
    assert max(ranks["Router"]) < min(ranks["Engine-busy"])


def test_a_spilled_request_wakes_the_engine_that_sleeps_and_the_next_one_is_local(scaled: Scaled) -> None:
    assert asleep(scaled)
    assert lane_of(scaled, LONG) == "cloud"
    scaled.graph.wait_until(lambda: scaled.graph.replicas("sleepy") == 1, 60, "the engine to wake")
    scaled.graph.wait_until(lambda: lane_of(scaled, LONG) == "local-sleepy", 30, "a local answer")


def test_an_engine_that_nobody_asks_goes_back_to_sleep(scaled: Scaled) -> None:
    """Its last replica goes, and the other engine, which may not sleep, keeps its own."""

    def awake() -> bool:
        return lane_of(scaled, LONG) == "local-sleepy" and not asleep(scaled)

    scaled.graph.wait_until(awake, 60, "an engine that is awake")
    scaled.graph.wait_until(lambda: asleep(scaled), 90, "the engine to sleep")
    assert scaled.graph.replicas("busy") >= 1


def test_a_confidential_request_wakes_it_too_and_never_goes_to_the_cloud(scaled: Scaled) -> None:
    lanes: list[str] = []
    refusals: list[openai.InternalServerError] = []

    def answered() -> bool:
        try:
            lanes.append(lane_of(scaled, SECRET, model="local-sleepy"))
        except openai.InternalServerError as refused:
            refusals.append(refused)
        return bool(lanes)

    assert asleep(scaled)
    scaled.graph.wait_until(answered, 60, "the engine to wake for a confidential request")
    assert lanes == ["local-sleepy"]
    assert {refused.status_code for refused in refusals} <= {503}
    assert all(int(refused.response.headers["retry-after"]) > 0 for refused in refusals)


def test_no_stream_is_cut_when_replicas_go(scaled: Scaled) -> None:
    stop = threading.Event()
    with ThreadPoolExecutor(STREAMS + 40) as pool:
        crowd = [pool.submit(keep_asking, scaled, stop) for _ in range(40)]
        try:
            first = [pool.submit(stream, scaled, 20) for _ in range(30)]
            scaled.graph.wait_until(lambda: scaled.graph.replicas("busy") == 3, 180, "three replicas")
            time.sleep(3)  # the Router hears of the third a moment later
            long = [pool.submit(stream, scaled, LASTING) for _ in range(STREAMS)]
        finally:
            stop.set()
        scaled.graph.wait_until(
            lambda: scaled.graph.replicas("busy") < 3 or all(f.done() for f in long), 180, "a replica to go"
        )
        under_way = sum(not future.done() for future in long)
        ends = [future.result() for future in long]
    assert under_way == STREAMS
    assert [(end.words, end.finish) for end in ends] == [(LASTING, "stop")] * STREAMS
    assert len({end.process for end in ends}) >= 2
    assert all((end.words, end.finish) == (20, "stop") for end in results(first))
    assert sum(results(crowd)) > 0


@dataclass(frozen=True, slots=True)
class End:
    """How one stream came out: `process` is the replica that spoke."""

    words: int
    finish: str | None
    process: str


def stream(scaled: Scaled, words: int) -> End:
    """One answer of so many words, pinned to the busy engine: none may spill here."""
    said, finish = "", None
    chunks = scaled.ask.chat.completions.create(
        model="local-busy", messages=[{"role": "user", "content": "hello"}], max_tokens=words, stream=True
    )
    for chunk in chunks:
        for choice in chunk.choices:
            said += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return End(len(said.split()), finish, said.split()[0])


def keep_asking(scaled: Scaled, stop: threading.Event) -> int:
    asked = 0
    while not stop.is_set():
        stream(scaled, 4)
        asked += 1
    return asked


def results(futures: "list[Future[Any]]") -> list[Any]:
    return [future.result() for future in futures]
