"""The whole graph with the real model, through HAProxy, by the official client.

The order of the file matters: the last tests kill the engine.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
import openai
import psutil
import pytest

from models import store
from tests.cluster.conftest import ROOT, Graph, titles, wait_for
from tests.http.test_chat import PERSON, WEATHER
from tests.unit.test_encoder import MODEL, theirs

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FRANCE: list[Any] = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
SECRET: list[Any] = [
    {"role": "user", "content": "Fill in the form: my SSN is 536-90-4399 and my card 4111 1111 1111 1111"}
]
CANARY = "xyzzy-canary-7391"


def test_a_chat_answer_comes_from_the_local_model(graph: Graph) -> None:
    raw = graph.ask.chat.completions.with_raw_response.create(model="auto", messages=FRANCE, temperature=0)
    answer = raw.parse()
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    assert raw.headers["x-pointsman-lane"] == "local-general"
    assert raw.headers["x-pointsman-reason"] == "local_first"
    assert raw.headers["x-pointsman-attempts"] == "1"
    assert raw.headers["x-pointsman-decision-id"].startswith("dec_")


def test_a_streamed_answer(graph: Graph) -> None:
    chunks = list(
        graph.ask.chat.completions.create(
            model="auto", messages=FRANCE, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "Paris" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage is not None
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_the_bare_json_call_of_the_default_model_comes_back_as_tool_calls(graph: Graph, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris for the next 3 days?"}]
    if stream:
        events = list(
            graph.ask.chat.completions.create(
                model="auto", messages=messages, tools=WEATHER, temperature=0, stream=True
            )
        )
        calls: list[Any] = [c for e in events if e.choices for c in e.choices[0].delta.tool_calls or []]
        assert [e.choices[0].finish_reason for e in events if e.choices][-1] == "tool_calls"
    else:
        answer = graph.ask.chat.completions.create(
            model="auto", messages=messages, tools=WEATHER, temperature=0
        )
        calls = list(answer.choices[0].message.tool_calls or [])
        assert answer.choices[0].finish_reason == "tool_calls"
    assert calls[0].function.name == "get_weather"
    assert json.loads(calls[0].function.arguments) == {"city": "Paris", "days": 3}


def test_a_required_tool_call_is_decoded_under_guidance(graph: Graph) -> None:
    messages: list[Any] = [{"role": "user", "content": "Weather in Rome, two days ahead?"}]
    answer = graph.ask.chat.completions.create(
        model="local-tools",
        messages=messages,
        tools=WEATHER,
        tool_choice="required",
        temperature=0,
        max_tokens=200,
    )
    call: Any = (answer.choices[0].message.tool_calls or [])[0]
    assert isinstance(json.loads(call.function.arguments)["days"], int)


def test_a_json_schema_answer(graph: Graph) -> None:
    messages: list[Any] = [{"role": "user", "content": "Ada Lovelace was 36. Give name and age."}]
    answer = graph.ask.chat.completions.create(
        model="auto", messages=messages, response_format=PERSON, temperature=0, max_tokens=200
    )
    value = json.loads(answer.choices[0].message.content or "")
    assert value["age"] == 36


def test_logprobs_n_and_stop_work_on_the_engine(graph: Graph) -> None:
    answer = graph.ask.chat.completions.create(
        model="local-general",
        messages=FRANCE,
        logprobs=True,
        top_logprobs=2,
        n=2,
        stop=["."],
        seed=1,
        max_tokens=8,
    )
    assert len(answer.choices) == 2
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content


def test_the_two_classics(graph: Graph) -> None:
    easy = _route(graph, "Compare 2+2 and 3+3")
    assert easy["lane"] == "local-general"
    log = "\n".join(
        f"2026-11-21T03:00:{i % 60:02d} INFO worker-{i % 7} finished job {i} in {i % 97} ms"
        for i in range(600)
    )
    hard = _route(
        graph, f"Summarise this 10k-token log and find the one-line error\n\n{log}\nERROR disk is full"
    )
    assert hard["lane"].startswith("cloud-")
    assert hard["reason"] == "long_context"
    raw = graph.ask.chat.completions.with_raw_response.create(
        model="auto",
        messages=[{"role": "user", "content": f"Find the error in this log\n{log}\nERROR disk is full"}],
    )
    assert raw.headers["x-pointsman-lane"] == "cloud-openai"
    assert "upstream" in (raw.parse().choices[0].message.content or "")


def test_the_engine_refuses_what_the_router_counted_too_low(graph: Graph) -> None:
    # o200k packs three digits into a token, the engine's tokenizer one: only the engine knows that it is too long.
    digits = "123456789012345 " * 700
    with pytest.raises(openai.BadRequestError) as error:
        graph.ask.chat.completions.create(
            model="local-general",
            messages=[{"role": "user", "content": f"Add these up: {digits}"}],
            max_tokens=16,
        )
    assert error.value.code == "context_length_exceeded"
    assert "context length" in error.value.message


def test_each_decision_is_one_line_of_the_log_without_a_word_of_the_prompt(graph: Graph) -> None:
    raw = graph.ask.chat.completions.with_raw_response.create(
        model="local-general",
        messages=[{"role": "user", "content": "Zanzibar logs no cloves."}],
        max_tokens=4,
    )
    decision = raw.headers["x-pointsman-decision-id"]
    lines: list[str] = []
    folder = Path(graph.argument("--session_dir"), "logs", "serve")
    until = time.monotonic() + 30
    while not lines and time.monotonic() < until:
        time.sleep(0.2)
        logs = [file.read_text() for file in folder.glob("replica_pointsman_Router_*.log")]
        lines = [line for line in "".join(logs).splitlines() if decision in line]
    assert len(lines) == 1
    assert json.loads(lines[0])["decision_id"] == decision
    assert "Zanzibar" not in "".join(logs)


def test_the_scout_judges_in_its_own_process(graph: Graph) -> None:
    with connected(graph) as inside:
        assert inside("scout") == "scout"


def test_vectors_come_from_the_encoder_of_this_machine(graph: Graph) -> None:
    texts = [
        "The cat sleeps on the sofa.",
        "A kitten is asleep on the couch.",
        "My card is 4111 1111 1111 1111",
    ]
    before = (len(graph.openai_cloud.received_bytes), len(graph.anthropic_cloud.received_bytes))
    raw = graph.ask.embeddings.with_raw_response.create(model="auto", input=texts)
    rows = np.array([row.embedding for row in raw.parse().data])
    assert raw.headers["x-pointsman-lane"] == "local-embeddings"
    assert np.abs(rows - theirs(store.path(MODEL), texts)).max() < 1e-4
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.4
    assert (len(graph.openai_cloud.received_bytes), len(graph.anthropic_cloud.received_bytes)) == before
    with pytest.raises(openai.BadRequestError, match=r"input\[1\] has 302 tokens .* takes 256"):
        graph.ask.embeddings.create(model="auto", input=["short", "word " * 300])


@pytest.mark.parametrize("stream", [True, False], ids=["mid-stream", "unary"])
def test_a_client_that_leaves_stops_the_engine(graph: Graph, stream: bool) -> None:
    with connected(graph) as inside:
        assert inside("running") == "0"
        with _asking_for_a_long_story(graph, stream=stream) as client:
            wait_for(lambda: inside("running") != "0", 30, "vLLM to start")
            if stream:
                assert client.recv(1)
        wait_for(lambda: inside("running") == "0", 60, "vLLM to abort the request")


@contextmanager
def _asking_for_a_long_story(graph: Graph, *, stream: bool) -> Iterator[socket.socket]:
    """A client that sends the body in a packet of its own, as most do: HAProxy once lost sight of those."""
    body = json.dumps(
        {
            "model": "local-general",
            "stream": stream,
            "max_tokens": 4000,
            "temperature": 0,
            "messages": [
                {"role": "user", "content": "Write a very long story about the sea, at least 3000 words."}
            ],
        }
    ).encode()
    url = urlsplit(graph.url)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-length: {len(body)}\r\n"
    with socket.create_connection((url.hostname, url.port), timeout=60) as client:
        client.sendall(f"{head}content-type: application/json\r\n\r\n".encode())
        time.sleep(0.1)
        client.sendall(body)
        yield client


def test_every_port_is_on_loopback(graph: Graph) -> None:
    ours = titles(graph.pid)
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid in ours]
    assert len(listening) > 5
    assert not [(ours[c.pid or 0], c.laddr) for c in listening if not _loopback(c.laddr.ip)]


def test_fallback_over_each_protocol_and_none_for_confidential_data(graph: Graph) -> None:
    graph.kill_engine()
    raw = graph.ask.chat.completions.with_raw_response.create(model="auto", messages=FRANCE)
    assert raw.headers["x-pointsman-lane"] == "cloud-openai"
    before = (len(graph.openai_cloud.received_bytes), len(graph.anthropic_cloud.received_bytes))
    with pytest.raises(openai.APIStatusError) as error:
        graph.ask.chat.completions.create(model="auto", messages=SECRET)
    assert error.value.status_code == 503
    assert int(error.value.response.headers["retry-after"]) >= 1
    assert (len(graph.openai_cloud.received_bytes), len(graph.anthropic_cloud.received_bytes)) == before
    graph.openai_cloud.stop()
    try:
        streamed = graph.ask.chat.completions.with_raw_response.create(
            model="auto", messages=FRANCE, stream=True
        )
        text = "".join(c.choices[0].delta.content or "" for c in streamed.parse() if c.choices)
    finally:
        graph.openai_cloud.start()
    assert streamed.headers["x-pointsman-lane"] == "cloud-anthropic"
    assert "upstream" in text


def test_the_engine_comes_back(graph: Graph) -> None:
    wait_for(lambda: graph.lanes()["local-general"] == "ready", 240, "the engine to come back")
    raw = graph.ask.chat.completions.with_raw_response.create(model="auto", messages=SECRET, max_tokens=8)
    assert raw.headers["x-pointsman-lane"] == "local-general"


def test_no_prompt_text_in_any_log(graph: Graph) -> None:
    graph.ask.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": CANARY}], max_tokens=4
    )
    with pytest.raises(openai.BadRequestError):
        graph.ask.chat.completions.create(model="auto", messages=[{"role": "user", "content": CANARY}], n=99)
    logs = Path(graph.argument("--log_dir"))
    holding = [
        path.name for path in logs.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert not holding


def _route(graph: Graph, prompt: str) -> dict[str, Any]:
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
    answer: dict[str, Any] = httpx2.post(
        f"{graph.url}/v1/route", json=body, trust_env=False, timeout=30
    ).json()
    return answer


@contextmanager
def connected(graph: Graph) -> Iterator[Callable[[str], str]]:
    """Ask inside the cluster, from a process that joins it: `inside("running")`, `inside("scout")`."""
    command = [sys.executable, "-m", "tests.support.inside", graph.argument("--gcs-address")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(question: str) -> str:
        print(question, file=process.stdin, flush=True)
        return process.stdout.readline().strip() if process.stdout else ""

    with process:
        yield ask
        process.stdin.close()


def _loopback(address: str) -> bool:
    return ip_address(address.removeprefix("::ffff:")).is_loopback
