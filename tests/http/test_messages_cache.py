"""Marks for a provider's cache, over HTTP with the official client: unchanged to Anthropic-kind lanes, to no others."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import pytest

from serve.keys.rights import ANONYMOUS
from serve.ledger.estimate import Size, Tokens, reported, worst
from serve.ledger.prices import Tariff
from serve.ledger.terms import Payer
from serve.sessions import name
from serve.wire.openai_answer import PromptDetails, Usage
from serve.wire.openai_chat import parse
from tests.http.conftest import Scene
from tests.support.spending import books

MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
SYSTEM: list[Any] = [
    {"type": "text", "text": "You mend gardens."},
    {"type": "text", "text": "The rules of the garden."} | HOUR,
]
TOOLS: list[Any] = [
    {"name": "dig", "description": "Dig", "input_schema": {"type": "object", "properties": {}}},
    {"name": "rake", "description": "Rake", "input_schema": {"type": "object", "properties": {}}} | MARK,
]
TURNS: list[Any] = [
    {"role": "user", "content": [{"type": "text", "text": "Begin."} | MARK]},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "I dig."} | MARK,
            {"type": "tool_use", "id": "toolu_1", "name": "dig", "input": {}} | MARK,
        ],
    },
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "earth"} | MARK],
    },
]
ASKED: dict[str, Any] = {"max_tokens": 50, "system": SYSTEM, "tools": TOOLS, "messages": TURNS}
Start = Callable[..., Scene]


def ask(s: Scene, lane: str, stream: bool = False, **more: Any) -> anthropic.types.Message:
    with anthropic.Anthropic(base_url=s.url, api_key="any", max_retries=0) as sdk:
        if stream:
            with sdk.messages.stream(model=lane, **ASKED | more) as events:
                return events.get_final_message()
        whole: anthropic.types.Message = sdk.messages.create(model=lane, **ASKED | more)
        return whole


@pytest.mark.parametrize("stream", [False, True])
def test_marks_reach_an_anthropic_lane_as_they_are(scene: Start, stream: bool) -> None:
    s = scene()
    ask(s, "cloud-anthropic", stream, extra_body=MARK)
    sent = s.cloud.requests[-1].json
    assert isinstance(sent, dict)
    assert (sent["system"], sent["tools"], sent["messages"]) == (SYSTEM, TOOLS, TURNS)
    assert sent["cache_control"] == MARK["cache_control"]


@pytest.mark.parametrize("lane", ["cloud-openai", "local-tools"])
def test_other_lanes_get_what_they_would_get_without(scene: Start, lane: str) -> None:
    s = scene()
    upstream = s.local if lane == "local-tools" else s.cloud
    bare = json.loads(json.dumps(ASKED).replace(json.dumps(HOUR)[1:-1], "").replace(json.dumps(MARK)[1:-1], "")
                      .replace(", }", "}"))  # fmt: skip
    for asked in (ASKED, bare):
        ask(s, lane, **asked)
    marked, without = (request.json for request in upstream.requests[-2:])
    assert "cache_control" not in json.dumps(marked)
    assert marked == without


def test_chat_clients_may_mark_too(scene: Start) -> None:
    s = scene()
    system: Any = {"role": "system", "content": [{"type": "text", "text": "Be kind."} | MARK]}
    s.ask.chat.completions.create(
        model="cloud-anthropic", messages=[system, {"role": "user", "content": "hello"}]
    )
    sent = s.cloud.requests[-1].json
    assert isinstance(sent, dict)
    assert sent["system"] == system["content"]
    s.ask.chat.completions.create(
        model="cloud-openai", messages=[system, {"role": "user", "content": "hello"}]
    )
    sent = s.cloud.requests[-1].json
    assert isinstance(sent, dict)
    assert sent["messages"][0] == {"role": "system", "content": "Be kind."}


def test_a_mark_that_means_nothing_is_named(scene: Start) -> None:
    s = scene()
    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(s, "auto", system=[{"type": "text", "text": "a", "cache_control": {"type": "for-ever"}}])
    assert "system[0].cache_control.type" in str(refused.value)


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_cache_gave_is_told_and_paid_for_at_its_price(
    scene: Start, tmp_path: Path, stream: bool
) -> None:
    """Read: a tenth of the price here. Written: a quarter more than fresh input (Anthropic's list)."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    price = {"input": 4.0, "output": 16.0, "cached_input": 0.4}
    prices = {"version": "test", "lanes": {"cloud-anthropic": price, "cloud-openai": price}}
    s = scene(models={"cloud-anthropic": "cached_usage"}, state={"url": url}, prices=prices)
    answer = ask(s, "cloud-anthropic", stream)
    took = s.cloud.requests[-1].tokens_in
    usage = answer.usage
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (took // 2, took // 4)
    assert usage.input_tokens == took - took // 2 - took // 4
    due = usage.input_tokens * 4 + (took // 2) * 0.4 + (took // 4) * 5 + usage.output_tokens * 16
    until = time.monotonic() + 30
    while books(url).attempts == 0 and time.monotonic() < until:
        time.sleep(0.05)
    assert books(url).attempts == pytest.approx(due, abs=1)


def test_the_worst_case_has_room_for_the_writing() -> None:
    tariff = Tariff(4_000_000, 0, 400_000, billed=True, version="", context=9000, most=9, writes=True)
    plain, short, long = (worst(Size(1000, 10, kept=kept), tariff) for kept in (None, "5m", "1h"))

    def cost(tokens: Tokens | None) -> int:
        assert tokens is not None
        return tariff.cost(tokens.input, tokens.cached, tokens.output, tokens.written, tokens.written_1h)

    assert cost(short) == pytest.approx(1.25 * cost(plain), abs=1)
    assert cost(long) == 2 * cost(plain)
    details = PromptDetails(cached_tokens=100, cache_write_tokens=400, cache_write_1h_tokens=200)
    usage = Usage(prompt_tokens=1000, completion_tokens=1, total_tokens=1001, prompt_tokens_details=details)
    said = reported(usage, 1, Size(1000, 10), tariff)
    assert cost(said) == 500 * 4 + 100 * 0.4 + 200 * 5 + 200 * 8
    assert worst(Size(1000, 10, kept="1h"), Tariff(1, 1, 1, True, "", 9, 9)).written == 0


def test_a_moving_mark_makes_no_other_conversation() -> None:
    """Agents mark the newest message: the first one loses its mark, and must still be known as the same."""

    def home(content: str | list[dict[str, Any]]) -> str:
        body = {"model": "auto", "messages": [{"role": "user", "content": content}]}
        return name.home(Payer(ANONYMOUS), parse(json.dumps(body).encode()))

    text = {"type": "text", "text": "Begin."}
    assert home([text | MARK]) == home([text]) == home("Begin.") != home("Begin")
