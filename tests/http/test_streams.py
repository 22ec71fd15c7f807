"""Streams through the real ingress: cut, late, lying and well-behaved ones (rows S1, S2, S3, S5)."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest

from tests.http.conftest import Scene
from tests.support.answers import Ask, compose
from tests.support.faults import find
from tests.support.rawclient import OPENAI, Raw, post
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

JSON = {"content-type": "application/json"}
# Which header brings a lane of each dialect to the front of the chain; the others stay behind it.
FIRST: dict[str, dict[str, str]] = {"openai": {}, "anthropic": {"x-pointsman-prefer": "tier3"}}
DIALECTS = sorted(FIRST)
TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"]}}}]  # fmt: skip
QUICK: dict[str, Any] = {
    "first_token_s": 5.0,
    "idle_s": 5.0,
    "unary_s": 5.0,
    "deadline_s": 20,
    "cooldown_s": 0,
    # Hundreds of faults in a row: here each of them shall be tried, none spared.
    "retries": {"floor": 10_000},
}


@pytest.fixture(scope="module")
def told() -> Iterator[Scene]:
    """The first lane of either dialect plays the fault that the prompt begins with; those behind it are fine."""
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        models = dict.fromkeys(("local-general", "local-tools", "cloud-anthropic"), "as_told")
        url = stack.enter_context(serving(config(local.url, cloud.url, models=models, dispatch=QUICK)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


def stream(scene: Scene, fault: str, dialect: str, **fields: Any) -> Raw:
    """One streamed exchange, as bytes."""
    body = {"model": "auto", "messages": hello(fault), "stream": True} | fields
    return post(scene.url, OPENAI, body, JSON | FIRST[dialect])


def hello(fault: str) -> list[Any]:
    return [{"role": "user", "content": f"{fault} hello there"}]


def pieces(fault: str) -> list[str]:
    """What the upstream says, piece by piece, when it is told `fault`."""
    prompt = hello(fault)[0]["content"]
    return list(compose(Ask("as_told", prompt, 1), find(fault)).pieces)


def errors(raw: Raw) -> list[Any]:
    return [payload["error"] for payload in raw.payloads if "error" in payload]


def lane(raw: Raw) -> str:
    return raw.headers["x-pointsman-lane"]


def said(raw: Raw) -> list[str]:
    """The content deltas that are not errors."""
    choices = [choice for payload in raw.payloads for choice in payload.get("choices", ())]
    return [text for choice in choices if (text := choice["delta"].get("content"))]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("how", ["err_in_stream", "cut_mid_frame", "error_event"])
def test_a_stream_cut_after_k_chunks_ends_in_one_error_event(told: Scene, dialect: str, how: str) -> None:
    """S1: one error event with `upstream_interrupted`, no [DONE], no second model, no token twice or lost."""
    for k in [*range(1, 21)] * 4:
        told.local.clear()
        told.cloud.clear()
        raw = stream(told, f"{how}_{k}", dialect)
        assert said(raw) == pieces(f"{how}_{k}")[:k]
        [error] = errors(raw)
        assert error["code"] == "upstream_interrupted"
        assert set(error) == {"message", "type", "param", "code"}
        assert "error" in raw.payloads[-1], "nothing comes after the error"
        assert "[DONE]" not in {data for _, data in raw.events}
        assert raw.ended == "clean"
        assert len(told.local.requests) + len(told.cloud.requests) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_official_client_sees_a_cut_as_an_error(told: Scene, dialect: str) -> None:
    """S1: the SDK raises after the tokens that came; it never takes a part for the whole."""
    for k in [*range(1, 21)] * 2:
        seen: list[str] = []
        with pytest.raises(openai.APIError) as error:
            _read(told, f"err_in_stream_{k}", dialect, seen)
        assert error.value.code == "upstream_interrupted"
        assert seen == pieces(f"err_in_stream_{k}")[:k]


def _read(scene: Scene, fault: str, dialect: str, seen: list[str]) -> None:
    for chunk in scene.ask.chat.completions.create(
        model="auto", messages=hello(fault), stream=True, extra_headers=FIRST[dialect]
    ):
        seen += [choice.delta.content for choice in chunk.choices if choice.delta.content]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reset_is_an_interruption_or_another_lane_never_both(told: Scene, dialect: str) -> None:
    """S1: a reset may swallow what was already sent; what the client got is still of one lane only."""
    for k in range(1, 21):
        raw = stream(told, f"rst_{k}", dialect)
        if errors(raw):
            assert said(raw) == pieces(f"rst_{k}")[: len(said(raw))]
            assert raw.events[-1][1] != "[DONE]"
        else:
            assert lane(raw) != ("cloud-anthropic" if dialect == "anthropic" else "local-general")
            assert raw.events[-1][1] == "[DONE]"


@pytest.mark.parametrize("n", [2, 3])
def test_a_stream_of_several_choices_is_whole_only_when_each_has_ended(told: Scene, n: int) -> None:
    """S1: n > 1. Each choice arrives; a cut before the last choice's end is an interruption."""
    whole = stream(told, "ok", "openai", n=n, stream_options={"include_usage": True})
    choices = [choice for payload in whole.payloads for choice in payload["choices"]]
    assert [c["index"] for c in choices if c.get("finish_reason")] == list(range(n))
    for index in range(n):
        parts = [c["delta"].get("content") or "" for c in choices if c["index"] == index]
        assert "".join(parts) == "".join(pieces("ok"))
    assert whole.payloads[-1]["usage"]["completion_tokens"] == n * len(pieces("ok"))
    cut = stream(told, "cut_last_end", "openai", n=n)
    assert errors(cut)[0]["code"] == "upstream_interrupted"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_cut_inside_a_tool_call_never_becomes_prose(told: Scene, dialect: str) -> None:
    """S2: nothing of the call was shown, so the next lane gives a whole one; a pinned lane gives an error."""
    for _ in range(50):
        raw = stream(told, "tool_cut", dialect, tools=TOOLS)
        assert not said(raw)
        assert not errors(raw)
        deltas = [c for p in raw.payloads for ch in p["choices"] for c in ch["delta"].get("tool_calls", ())]
        arguments = "".join(delta["function"].get("arguments", "") for delta in deltas)
        assert isinstance(json.loads(arguments)["days"], int)
        pin = "cloud-anthropic" if dialect == "anthropic" else "local-tools"
        alone = stream(told, "tool_cut", dialect, tools=TOOLS, model=pin)
        assert alone.status in (502, 503)
        assert "choices" not in alone.json


SLOW = [
    pytest.param({"first_token_s": 2, "idle_s": 30}, "slow_first_60000", "another", id="late-first"),
    pytest.param({"first_token_s": 30, "idle_s": 2}, "slow_first_3000", "the same", id="first-not-idle"),
    pytest.param({"first_token_s": 30, "idle_s": 0.4}, "slow_second_chunk_60000", "broken", id="late-gap"),
    pytest.param(
        {"first_token_s": 2, "idle_s": 30}, "slow_second_chunk_3000", "the same", id="gap-not-first"
    ),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("limits", "fault", "outcome"), SLOW)
def test_a_late_first_token_and_a_late_gap_have_limits_of_their_own(
    scene: Callable[..., Scene], dialect: str, limits: dict[str, float], fault: str, outcome: str
) -> None:
    """S3: a late first token goes to another lane, a late gap is an interruption; neither limit bounds the other."""
    models = {"local-general": fault, "cloud-anthropic": fault}
    raw = stream(scene(models=models, dispatch=QUICK | limits), fault, dialect)
    first = "cloud-anthropic" if dialect == "anthropic" else "local-general"
    assert (lane(raw) == first) is (outcome != "another")
    assert bool(errors(raw)) is (outcome == "broken")
    assert (raw.events[-1][1] == "[DONE]") is (outcome != "broken")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64, 1000])
def test_the_slices_of_an_upstream_do_not_matter(told: Scene, dialect: str, size: int) -> None:
    """S4: split UTF-8, CRLF, comments, a byte order mark, JSON over two lines: the same answer."""
    fault = f"sliced_{size}"
    messages = [{"role": "user", "content": f"{fault} Zürich \U0001f327 日本語"}]
    raw = stream(told, fault, dialect, messages=messages, stream_options={"include_usage": True})
    assert "".join(said(raw)) == f"upstream answers: {messages[0]['content'][:40]}"
    assert raw.payloads[-1]["usage"]["completion_tokens"] > 0
    assert raw.events[-1][1] == "[DONE]"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("fault", "outcomes"),
    [
        ("error_event_0", {"unavailable", "overloaded"}),
        ("empty_stream", {"unavailable"}),
        ("die_before_first", {"unavailable"}),
        ("huge_line_10240", {"protocol_error"}),
        ("bad_json", {"protocol_error", "unavailable"}),
    ],
)
def test_a_stream_that_lies_from_the_start_is_a_typed_failure_of_its_lane(
    told: Scene, dialect: str, fault: str, outcomes: set[str]
) -> None:
    """S5: the trail names what went wrong and the next lane answers, whole."""
    raw = stream(told, fault, dialect)
    assert raw.headers["x-pointsman-trail"].partition(",")[0].partition("=")[2] in outcomes
    assert not errors(raw)
    assert raw.events[-1][1] == "[DONE]"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ["no_done", "no_finish_3"])
def test_a_stream_without_its_end_is_interrupted(told: Scene, dialect: str, fault: str) -> None:
    """S5: a stream without its end mark or its finish reason is not taken for a whole answer."""
    raw = stream(told, fault, dialect)
    assert errors(raw)[0]["code"] == "upstream_interrupted"
    assert "[DONE]" not in {data for _, data in raw.events}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_answer_of_ten_megabytes_is_refused(told: Scene, dialect: str) -> None:
    """S5: an upstream cannot fill our memory with one answer."""
    raw = stream(told, "huge_line_10240", dialect, stream=False)
    assert raw.status == 200
    assert raw.headers["x-pointsman-trail"].partition(",")[0].endswith("=protocol_error")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("fault", ["bad_usage", "nan_usage", "no_usage"])
def test_absurd_usage_never_costs_the_answer(told: Scene, dialect: str, streamed: bool, fault: str) -> None:
    """S9: the answer is whole, and the usage shown is none at all or bounded and not negative."""
    more = {"stream_options": {"include_usage": True}} if streamed else {}
    raw = stream(told, fault, dialect, stream=streamed, **more)
    assert lane(raw) == ("cloud-anthropic" if dialect == "anthropic" else "local-general")
    documents = raw.payloads if streamed else [raw.json]
    assert not errors(raw)
    assert all(document.get("usage") is None for document in documents)
    assert b"usage_doubtful" not in raw.data


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
def test_every_lane_gets_the_same_messages_once(scene: Callable[..., Scene], streamed: bool) -> None:
    """S10: after a verdict, the next lane gets the very same bytes but for the model; no lane is asked twice.

    What was tried is told where `tell_next` says so: tests/http/test_reask.py.
    """
    fault = "tool_missing_required"
    lanes = dict.fromkeys(("local-tools", "local-general", "cloud-openai"), fault)
    s = scene(models=lanes, dispatch={"tell_next": "none"})
    call = f"c{streamed}"  # a tool loop of its own: the same one would go on where it was answered
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief. Ünïcode \U0001f600"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": call, "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'}}]},
        {"role": "tool", "tool_call_id": call, "content": "sunny"},
        {"role": "user", "content": "and tomorrow?"},
    ]  # fmt: skip
    body = {"model": "auto", "messages": messages, "tools": TOOLS, "stream": streamed, "temperature": 0.5}
    raw = post(s.url, OPENAI, body, JSON)
    assert lane(raw) == "cloud-anthropic"
    asked = [r for r in [*s.local.requests, *s.cloud.requests] if r.path == OPENAI]
    assert len(asked) == 3
    assert len(s.cloud.requests) == 2
    assert len({request.body for request in asked}) == 1, "the model's name is the same fault in all three"
    assert asked[0].json["messages"] == [{k: v for k, v in m.items() if v is not None} for m in messages]
    [last] = [r for r in s.cloud.requests if r.path != OPENAI]
    assert "and tomorrow?" in json.dumps(last.json["messages"][-1])
