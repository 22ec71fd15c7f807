"""R14: a new version takes over while answers are under way: real Ray Serve and HAProxy, two Routers, stub engines."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.support.stub_child import StubGraph, stub_graph
from tests.support.upstream import ThreadedUpstream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STREAMS, WORDS = 50, 60
UNARY, AT_ONCE = 500, 10
SAID: Any = [{"role": "user", "content": "hello"}]


def config(cloud: str, word_s: float) -> dict[str, Any]:
    """Another `word_s` is another version of the engine, and so of the whole code that Serve compares."""
    engine = {"model": "stub", "num_cpus": 0.1, "max_ongoing_requests": 200, "max_queued_requests": 200}
    away = {
        "kind": "openai",
        "model": "ok",
        "base_url": f"{cloud}/v1",
        "location": "global",
        "context": 100_000,
    }
    rule = {"name": "default", "prefer": ["local", "cloud"], "because": "there is nothing to choose"}
    return {
        "keys": {"mode": "open"},
        "server": {"router_replicas": 2},
        "engines": {"stub": engine | {"vllm": {"word_s": word_s}}},
        "lanes": [
            {"name": "local", "kind": "engine", "engine": "stub", "context": 8192},
            away | {"name": "cloud"},
        ],
        "policy": {"rules": [rule]},
    }


@pytest.fixture(scope="module")
def cloud() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def graph(cloud: ThreadedUpstream) -> Iterator[StubGraph]:
    with stub_graph(config(cloud.url, 0.5)) as running:
        yield running


def test_no_stream_is_cut_and_no_answer_is_lost_by_a_new_version(
    graph: StubGraph, cloud: ThreadedUpstream
) -> None:
    """50 streams end whole in the old version; 500 answers meanwhile; afterwards another process speaks."""
    begun = threading.Barrier(STREAMS + 1, timeout=120)
    with (
        openai.OpenAI(base_url=f"{graph.url}/v1", api_key="any", timeout=180) as ask,
        ThreadPoolExecutor(STREAMS + AT_ONCE) as pool,
    ):
        old = speaker(ask)
        streams = [pool.submit(streamed, ask, begun) for _ in range(STREAMS)]
        begun.wait()  # each has its first word
        graph.deploy(config(cloud.url, 0.01))
        answers = [pool.submit(unary, ask) for _ in range(UNARY)]
        graph.wait_until(lambda: graph.app == "DEPLOYING", 120, "the new version to be taken up")
        under_way = sum(not stream.done() for stream in streams)
        lanes = Counter(answer.result() for answer in answers)
        ends = Counter(stream.result() for stream in streams)
        graph.wait_until(
            lambda: graph.app == "RUNNING" and speaker(ask) not in (old, ""), 180, "the new version"
        )
    assert ends == {(WORDS, "stop"): STREAMS}
    assert lanes.total() == UNARY
    assert set(lanes) <= {"local", "cloud"}
    assert under_way > 0, "the streams ended before anything was replaced"


def unary(ask: openai.OpenAI) -> str:
    """The lane of one answer."""
    raw = ask.chat.completions.with_raw_response.create(model="auto", messages=SAID, max_tokens=1)
    assert raw.parse().choices[0].message.content
    return raw.headers["x-pointsman-lane"]


def speaker(ask: openai.OpenAI) -> str:
    """The engine's process, as the stub tells it; "" when there is none to ask now."""
    try:
        answer = ask.chat.completions.create(model="local", messages=SAID, max_tokens=1)
    except openai.InternalServerError:
        return ""
    return (answer.choices[0].message.content or "").strip()


def streamed(ask: openai.OpenAI, begun: threading.Barrier) -> tuple[int, str | None]:
    """Words and end of one long answer of the stub."""
    said, finish = "", None
    chunks: Any = ask.chat.completions.create(model="local", messages=SAID, max_tokens=WORDS, stream=True)
    for chunk in chunks:
        for choice in chunk.choices:
            if not said and choice.delta.content:
                begun.wait()
            said += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return len(said.split()), finish
