"""Responses over HTTP with the official client: whole, streamed, with tools, continued, kept and forgotten."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from serve.keys import credential
from serve.keys.entry import Grant, KeyEntry
from serve.keys.store import KeyStore
from tests.http.conftest import Scene
from tests.support import answers
from tests.support.databases import database
from tests.support.memory import memory_folder
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

Start = Callable[..., Scene]
IBAN = "DE89370400440532013000"
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}
PINS = ["local-tools", "cloud-openai", "cloud-anthropic"]


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    """One that runs for all tests of this file that look only at what they sent themselves."""
    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream())
        with memory_folder() as folder:
            state = {"url": f"sqlite:///{folder}/state.db"}
            url = stack.enter_context(serving(config(local.url, cloud.url, state=state)))
            yield Scene(url, stack.enter_context(client(url)), local, cloud)
            stack.close()


@pytest.fixture
def plain(shared: Scene) -> Scene:
    """The shared scene with upstreams that remember nothing."""
    shared.local.clear()
    shared.cloud.clear()
    return shared


def post(s: Scene, body: dict[str, Any], **headers: str) -> httpx2.Response:
    return httpx2.post(f"{s.url}/v1/responses", json=body, headers=headers, trust_env=False, timeout=60)


@pytest.mark.parametrize("pin", ["auto", *PINS])
def test_an_answer_in_one_piece(plain: Scene, pin: str) -> None:
    s = plain
    raw = s.ask.responses.with_raw_response.create(
        model=pin, input="hello there", instructions="Be brief.", metadata={"job": "7"}
    )
    answer = raw.parse()
    assert "upstream answers: hello there" in answer.output_text
    assert (answer.status, answer.metadata, answer.instructions) == ("completed", {"job": "7"}, "Be brief.")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    assert float(raw.headers["x-pointsman-cost-usd"]) >= 0
    sent = (s.local if pin in ("auto", "local-tools") else s.cloud).requests[-1].json
    assert "Be brief." in json.dumps(sent)
    assert "job" not in json.dumps(sent)


@pytest.mark.parametrize("pin", ["local-general", "cloud-openai", "cloud-anthropic"])
def test_a_stream_has_every_event_in_its_place(plain: Scene, pin: str) -> None:
    s = plain
    events = list(s.ask.responses.create(model=pin, input="hello there", stream=True))
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert deltas
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    said = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert last.response.output_text == said
    assert last.response.usage is not None
    with s.ask.responses.stream(model=pin, input="hello there") as stream:
        stream.until_done()
        assert stream.get_final_response().output_text == said


@pytest.mark.parametrize("pin", PINS)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_function_call(plain: Scene, pin: str, stream: bool) -> None:
    s = plain
    ask: dict[str, Any] = {"model": pin, "input": "weather?", "tools": [TOOL], "tool_choice": "required"}
    create: Any = s.ask.responses.create
    if stream:
        events = list(create(**ask, stream=True))
        kinds = [event.type for event in events]
        assert kinds.index("response.function_call_arguments.delta") < kinds.index(
            "response.function_call_arguments.done"
        )
        done = next(e for e in events if e.type == "response.function_call_arguments.done")
        said = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
        assert said == done.arguments
        assert events[-1].type == "response.completed"
        answer = events[-1].response
    else:
        answer = create(**ask)
    (call,) = answer.output
    assert call.type == "function_call"
    assert (call.name, call.status) == ("get_weather", "completed")
    assert json.loads(call.arguments).keys() == {"city", "days"}
    assert call.call_id


@pytest.mark.parametrize("pin", ["local-tools", "cloud-anthropic"])
def test_an_agent_takes_twenty_steps(plain: Scene, pin: str) -> None:
    """Every step calls a tool and continues by `previous_response_id`; what the lane sees grows by two messages."""
    s = plain
    upstream = s.local if pin == "local-tools" else s.cloud
    answer = s.ask.responses.create(model=pin, input="go on", tools=[TOOL], tool_choice="required")
    for step in range(20):
        (call,) = answer.output
        assert call.type == "function_call"
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": f"result {step}"}
        answer = s.ask.responses.create(
            model=pin,
            input=[result],
            previous_response_id=answer.id,
            tools=[TOOL],
            tool_choice="required" if step < 19 else "auto",
        )
    assert "upstream" in answer.output_text
    sent = upstream.requests[-1].json
    assert isinstance(sent, dict)
    assert len(sent["messages"]) == 41
    assert "result 0" in json.dumps(sent)


def test_a_conversation_held_by_the_client(plain: Scene) -> None:
    """What an SDK sends back: its own output items, reasoning and all, beside the tool's output."""
    s = plain
    first = s.ask.responses.create(model="local-tools", input="weather?", tools=[TOOL], store=False)
    items: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        *[item.model_dump(exclude_none=True) for item in first.output],
    ]
    items.append({"type": "function_call_output", "call_id": first.output[0].call_id, "output": "rain"})  # type: ignore[union-attr]
    s.ask.responses.create(model="local-tools", input=items, tools=[TOOL], store=False)
    sent = s.local.requests[-1].json
    assert isinstance(sent, dict)
    assert [m["role"] for m in sent["messages"]] == ["user", "assistant", "tool"]
    assert sent["messages"][2]["content"] == "rain"


PNG = "data:image/png;base64,iVBORw0KGgo="
LOOKED: list[Any] = [
    {"role": "user", "content": "look at it"},
    {"type": "function_call", "call_id": "c1", "name": "view_image", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1",
     "output": [{"type": "input_image", "image_url": PNG, "detail": "original"}]},
]  # fmt: skip


def test_an_image_in_a_tools_output_is_seen_by_a_lane_that_sees() -> None:
    """As Codex sends what its view_image found, in every request from then on."""
    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream())
        plain: Any = config(local.url, cloud.url).model_dump(mode="json")["lanes"]
        lanes = [lane | {"capabilities": [*lane["capabilities"], "vision"]} for lane in plain]
        url = stack.enter_context(serving(config(local.url, cloud.url, lanes=lanes)))
        ask = stack.enter_context(client(url))
        raw = ask.responses.with_raw_response.create(
            model="auto", input=LOOKED, extra_headers={"x-pointsman-prefer": "cloud"}
        )
        assert raw.headers["x-pointsman-lane"].startswith("local")
        sent: Any = local.requests[-1].json
        assert sent["messages"][-2:] == [
            {"role": "tool", "tool_call_id": "c1", "content": ""},
            {"role": "user", "content": [
                {"type": "text", "text": "From the result of c1:"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
            ]},
        ]  # fmt: skip
        assert not cloud.received_bytes


@pytest.mark.parametrize("pin", ["cloud-openai", "cloud-anthropic"])
def test_an_image_in_a_tools_output_never_leaves(plain: Scene, pin: str) -> None:
    """Nobody can read a picture here, so it is confidential, wherever it stands."""
    s = plain
    answer = post(s, {"model": pin, "input": LOOKED})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "egress_denied")
    assert not s.cloud.received_bytes


def test_structured_outputs(plain: Scene) -> None:
    s = plain
    parsed = s.ask.responses.parse(model="cloud-openai", input="who?", text_format=Person)
    assert isinstance(parsed.output_parsed, Person)
    with s.ask.responses.stream(model="cloud-openai", input="who?", text_format=Person) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Person)
    loose = s.ask.responses.create(
        model="cloud-openai", input="who?", text={"format": {"type": "json_object"}}
    )
    assert isinstance(json.loads(loose.output_text), dict)


def test_the_async_client_gets_the_same(plain: Scene) -> None:
    s = plain

    async def ask() -> tuple[Response, str]:
        async with openai.AsyncOpenAI(base_url=f"{s.url}/v1", api_key="any", max_retries=0) as client:
            whole = await client.responses.create(model="auto", input="hello")
            stream = await client.responses.create(model="auto", input="hello", stream=True)
            said = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        return whole, "".join(said)

    whole, said = asyncio.run(ask())
    assert whole.output_text == said


def test_a_cut_answer_is_incomplete_and_a_broken_one_failed(scene: Start) -> None:
    s = scene(models={"cloud-openai": "err_in_stream_2"})
    ask: dict[str, Any] = {"input": "tell me a lot", "max_output_tokens": 1}
    cut = s.ask.responses.create(model="cloud-anthropic", **ask)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"
    last = list(s.ask.responses.create(model="cloud-anthropic", **ask, stream=True))[-1]
    assert last.type == "response.incomplete"
    broken = list(s.ask.responses.create(model="cloud-openai", input="tell me", stream=True))[-1]
    assert broken.type == "response.failed"
    assert broken.response.error is not None
    assert "broke off" in broken.response.error.message
    with pytest.raises(openai.NotFoundError):  # half an answer is nothing to continue
        s.ask.responses.retrieve(broken.response.id)


# --- kept ------------------------------------------------------------------------------------------------------


def test_a_response_is_found_again_until_it_is_deleted(plain: Scene) -> None:
    s = plain
    made = s.ask.responses.create(model="auto", input="hello")
    assert made.model_dump()["store"] is True
    assert s.ask.responses.retrieve(made.id).output_text == made.output_text
    s.ask.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        s.ask.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        s.ask.responses.delete(made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        s.ask.responses.create(model="auto", input="more", previous_response_id=made.id)
    assert (refused.value.param, refused.value.code) == (
        "previous_response_id",
        "previous_response_not_found",
    )


def test_the_items_of_a_kept_response_are_listed_page_by_page(plain: Scene) -> None:
    s = plain
    items: Any = [
        {"role": "user", "content": "The weather?"},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"role": "assistant", "content": "It rains."},
    ]
    asked: Any = {"model": "cloud-openai", "instructions": "Be brief.", "store": True}
    first = s.ask.responses.create(input=[*items[:4], items[0]], **asked)
    found = list(s.ask.responses.input_items.list(first.id, order="asc", limit=2))
    assert [item.type for item in found] == [
        "message",
        "function_call",
        "function_call_output",
        *["message"] * 2,
    ]
    assert len({item.id for item in found}) == 5
    told = [item.model_dump(exclude_none=True) for item in found]
    assert told[0]["content"] == [{"type": "input_text", "text": "The weather?"}]
    assert told[1].items() >= {"call_id": "c1", "name": "get_weather", "arguments": "{}"}.items()
    assert told[2].items() >= {"call_id": "c1", "output": "rain"}.items()
    backwards = s.ask.responses.input_items.list(first.id)
    assert [item.id for item in backwards.data] == [item.id for item in found][::-1]
    # What continues it was asked with everything before, that answer included.
    second = s.ask.responses.create(model="auto", input="And?", previous_response_id=first.id, store=True)
    assert len(list(s.ask.responses.input_items.list(second.id))) == 7


def test_items_of_nothing_a_wrong_page_and_cancelling_are_4xx(plain: Scene) -> None:
    s = plain
    kept = s.ask.responses.create(model="auto", input="hello")
    with pytest.raises(openai.NotFoundError):
        s.ask.responses.input_items.list("resp_0")
    for wrong in ({"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "msg_0"}):
        with pytest.raises(openai.BadRequestError) as refused:
            s.ask.responses.input_items.list(kept.id, extra_query=wrong)
        assert refused.value.param == next(iter(wrong))
    with pytest.raises(openai.BadRequestError, match="background"):
        s.ask.responses.cancel(kept.id)
    with pytest.raises(openai.NotFoundError):
        s.ask.responses.cancel("resp_0")


def test_a_stream_is_kept_before_it_ends(plain: Scene) -> None:
    s = plain
    events = list(s.ask.responses.create(model="auto", input="hello", stream=True))
    assert events[-1].type == "response.completed"
    made = events[-1].response
    assert s.ask.responses.retrieve(made.id).output_text == made.output_text


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nobody_elses_response_can_be_read_continued_or_deleted(
    scene: Start, tmp_path: Path, kind: str
) -> None:
    store = KeyStore(f"sqlite:///{tmp_path}/keys.db")
    keys = []
    for name in ("one", "other"):
        public, key, sha256 = credential.mint()
        store.add(KeyEntry(id=public, name=name, sha256=sha256, grant=Grant()))
        keys.append(key)
    section = {"mode": "required", "url": f"sqlite:///{tmp_path}/keys.db", "refresh_s": 0.1}
    with database(kind, tmp_path) as url:
        s = scene(keys=section, state={"url": url})
        mine, other = (s.ask.with_options(api_key=key) for key in keys)
        made = mine.responses.create(model="auto", input="hello")
        assert mine.responses.retrieve(made.id).id == made.id
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.delete(made.id)
        with pytest.raises(openai.BadRequestError):
            other.responses.create(model="auto", input="and?", previous_response_id=made.id)
        assert mine.responses.create(model="auto", input="and?", previous_response_id=made.id).output_text
        with pytest.raises(openai.BadRequestError) as caught:
            other.responses.create(model="auto", input=named(made.output[0].id))
        assert caught.value.code == "item_not_found"
        assert mine.responses.create(model="auto", input=named(made.output[0].id)).output_text


def named(item_id: str | None) -> list[Any]:
    """A turn whose earlier answer is named in place of being said, as the AI SDK of Vercel does."""
    asked, more = ({"role": "user", "content": text} for text in ("weather?", "go on"))
    return [asked, {"type": "item_reference", "id": item_id}, more]


@pytest.mark.parametrize("stream", [False, True])
def test_items_of_earlier_answers_may_be_named_by_their_ids(plain: Scene, stream: bool) -> None:
    """A loop of tools that says nothing twice: a lane gets what it would get from a client that does."""
    s = plain
    said: list[Any] = [{"role": "user", "content": "weather?"}]
    twice: list[Any] = said[:]
    for step in range(3):
        tools = [TOOL] if step < 2 else []
        first: Any = s.ask.responses.create(model="local-tools", input=said, tools=tools, stream=stream)
        answer = list(first)[-1].response if stream else first
        named_ = [{"type": "item_reference", "id": item.id} for item in answer.output]
        calls = [item for item in answer.output if item.type == "function_call"]
        results = [
            {"type": "function_call_output", "call_id": call.call_id, "output": f"rain {step}"}
            for call in calls
        ]
        said += [*named_, *named_[:1], *results]  # one that is named twice is said once
        twice += [*[item.model_dump(exclude_none=True) for item in answer.output], *results]
    s.ask.responses.create(model="local-tools", input=[*said, {"role": "user", "content": "thanks"}])
    s.ask.responses.create(model="local-tools", input=[*twice, {"role": "user", "content": "thanks"}])
    by_name, in_full = (request.json for request in s.local.requests[-2:])
    assert isinstance(by_name, dict)
    assert isinstance(in_full, dict)
    assert by_name["messages"] == in_full["messages"]
    assert len(by_name["messages"]) > 4


def test_an_item_that_is_not_there_is_refused_in_the_same_words(plain: Scene) -> None:
    s = plain
    made, gone = (s.ask.responses.create(model="auto", input="hello") for _ in range(2))
    s.ask.responses.delete(gone.id)
    quiet = s.ask.responses.create(model="auto", input="hello", store=False)
    there = str(made.output[0].id)
    s.local.clear()
    unknown = [gone.output[0].id, quiet.output[0].id, there + "7", "msg_x", f"msg_{'0' * 32}_o0", made.id]
    told = [post(s, {"model": "auto", "input": named(item_id)}) for item_id in unknown]
    assert {answer.status_code for answer in told} == {400}
    assert len({answer.text for answer in told}) == 1
    error = told[0].json()["error"]
    assert (error["code"], error["param"]) == ("item_not_found", "input[1].id")
    assert not s.local.received_bytes


def test_named_items_may_not_be_of_too_large_responses(scene: Start) -> None:
    """Each may be kept, and a short request could name all that is kept."""
    s = scene(responses={"max_bytes_each": 4096})
    made = [
        s.ask.responses.create(model="auto", input="hello", instructions="x" * 2000, store=True)
        for _ in range(8)
    ]
    items: list[Any] = [{"type": "item_reference", "id": response.output[0].id} for response in made]
    ask: Any = {"role": "user", "content": "go on"}
    assert s.ask.responses.create(model="auto", input=[*items[:4], ask]).output_text
    with pytest.raises(openai.BadRequestError) as caught:
        s.ask.responses.create(model="auto", input=[*items, ask])
    assert caught.value.code == "body_too_large"


def test_what_was_confidential_stays_so_when_its_items_are_named(plain: Scene) -> None:
    """The words of the answer do not show it: a header said so then."""
    s = plain
    made = s.ask.responses.create(
        model="auto", input="plans", store=True, extra_headers={"x-pointsman-sensitivity": "confidential"}
    )
    public = s.ask.responses.create(model="auto", input="hello", store=True)
    for more in ({}, {"previous_response_id": public.id}):
        body = {"model": "auto", "input": named(made.output[0].id)} | more
        answer = post(s, body, **{"x-pointsman-prefer": "cloud", "x-pointsman-sensitivity": "public"})
        assert answer.headers["x-pointsman-lane"].startswith("local")
        assert answer.json()["store"] is False  # as confidential as what it names
        assert post(s, body | {"model": "cloud-openai"}).status_code == 403
    assert not s.cloud.received_bytes
    fine = post(s, {"model": "cloud-openai", "input": named(public.output[0].id)})
    assert fine.status_code == 200


def test_a_confidential_conversation_is_kept_only_on_demand(plain: Scene) -> None:
    s = plain
    quiet = s.ask.responses.create(model="auto", input=f"my account is {IBAN}")
    assert quiet.model_dump()["store"] is False
    with pytest.raises(openai.NotFoundError):
        s.ask.responses.retrieve(quiet.id)
    kept = s.ask.responses.create(model="auto", input=f"my account is {IBAN}", store=True)
    assert s.ask.responses.retrieve(kept.id).id == kept.id
    assert not s.cloud.received_bytes


LEFT_OUT: dict[str, dict[str, Any]] = {
    "metadata": {"metadata": {"account": IBAN}},
    "a key of metadata": {"metadata": {IBAN: "1"}},
    "much metadata": {"metadata": {f"k{i}": "word " * 100 for i in range(15)} | {"account": IBAN}},
    "a tool that is not allowed": {
        "tools": [TOOL, {**TOOL, "name": "pay", "description": f"pays {IBAN}"}],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": TOOL["name"]}],
        },
    },
}


@pytest.mark.parametrize("where", LEFT_OUT)
def test_what_no_lane_gets_decides_too_whether_a_response_is_kept(plain: Scene, where: str) -> None:
    s = plain
    body = {"model": "auto", "input": "hello"} | LEFT_OUT[where]
    quiet = post(s, body).json()
    assert quiet["store"] is False
    assert httpx2.get(f"{s.url}/v1/responses/{quiet['id']}", trust_env=False).status_code == 404
    assert quiet["metadata"] == body.get("metadata", {})
    assert post(s, body | {"store": True, "model": "cloud-openai"}).json()["store"] is True


def test_a_class_that_only_metadata_has_holds_for_what_continues_it(plain: Scene) -> None:
    s = plain
    kept = post(s, {"model": "auto", "input": "hello", "store": True} | LEFT_OUT["metadata"]).json()
    further = {"model": "auto", "input": "go on", "previous_response_id": kept["id"]}
    answer = post(s, further, **{"x-pointsman-prefer": "cloud"})
    assert answer.headers["x-pointsman-lane"].startswith("local")
    assert answer.json()["store"] is False


def test_metadata_that_cannot_be_read_in_time_is_not_kept(scene: Start) -> None:
    s = scene(signals={"deadline_s": 1e-9, "inline_chars": 100})
    assert post(s, {"model": "auto", "input": "hello"}).json()["store"] is True
    body = {"model": "auto", "input": "hello", "metadata": {"job": "a long word " * 10}}
    assert post(s, body).json()["store"] is False


NOTE = {"type": "function", "name": "note", "parameters": {"properties": {"text": {"type": "string"}}}}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("how", ["words", "a tool's arguments"])
def test_what_the_answer_says_decides_too_whether_it_is_kept(
    plain: Scene, monkeypatch: pytest.MonkeyPatch, how: str, stream: bool
) -> None:
    s = plain
    if how == "words":
        monkeypatch.setattr(answers, "_text", lambda *_: f"the account is {IBAN}")
    body: dict[str, Any] = {"model": "auto", "input": "hello", "stream": stream}
    more: dict[str, Any] = {} if how == "words" else {"model": "local-tools", "tools": [NOTE]}
    s.local.play("" if how == "words" else "tool_secret")
    try:
        quiet, asked = (last_of(post(s, body | more | wish)) for wish in ({}, {"store": True}))
    finally:
        s.local.play("")
    assert (IBAN if how == "words" else "536-90-4399") in json.dumps(quiet["output"])
    assert (quiet["store"], asked["store"]) == (False, True)
    with pytest.raises(openai.NotFoundError):
        s.ask.responses.retrieve(quiet["id"])
    called = asked["output"][0].get("call_id")
    result = [{"type": "function_call_output", "call_id": called, "output": "ok"}]
    further = {"input": result if called else "thanks", "previous_response_id": asked["id"]}
    raw = post(s, {"model": "auto"} | further, **{"x-pointsman-prefer": "cloud"})
    assert raw.headers["x-pointsman-lane"].startswith("local")
    assert not s.cloud.received_bytes


def test_an_answer_that_cannot_be_read_in_time_is_not_kept(
    scene: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = scene(signals={"deadline_s": 1e-9, "inline_chars": 100})
    assert last_of(post(s, {"model": "auto", "input": "hello"}))["store"] is True
    monkeypatch.setattr(answers, "_text", lambda *_: "a long word " * 10)
    assert last_of(post(s, {"model": "auto", "input": "hello"}))["store"] is False


def last_of(answer: httpx2.Response) -> dict[str, Any]:
    """The response, also of a stream."""
    text = answer.text
    if "event: " not in text:
        return dict(answer.json())
    data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return dict(json.loads(data[-1])["response"])


def test_a_server_under_test_keeps_responses_in_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    box: dict[str, Any] = {}
    with ThreadedUpstream() as up, serving(config(up.url, up.url), box) as url, client(url) as ask:
        kept = ask.responses.create(model="auto", input="hello").id.encode()
        assert any(kept in file.read_bytes() for file in box["folder"].glob("state.db*"))
    assert not [*tmp_path.iterdir()]


def test_nothing_is_kept_where_that_is_switched_off(scene: Start) -> None:
    s = scene(responses={"enabled": False})
    made = s.ask.responses.create(model="auto", input="hello", store=True)
    assert made.model_dump()["store"] is False
    with pytest.raises(openai.NotFoundError):
        s.ask.responses.retrieve(made.id)


# --- privacy ---------------------------------------------------------------------------------------------------

HIDDEN: dict[str, dict[str, Any]] = {
    "input": {"input": f"pay {IBAN}"},
    "instructions": {"instructions": f"the account is {IBAN}"},
    "message part": {"input": [{"role": "user", "content": [{"type": "input_text", "text": IBAN}]}]},
    "assistant part": {
        "input": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": IBAN}]},
            {"role": "user", "content": "go on"},
        ]
    },
    "arguments": {
        "input": [
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": json.dumps({"to": IBAN})},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
        ]
    },
    "tool output": {
        "input": [
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": f"it is {IBAN}"},
        ]
    },
    "tool output part": {
        "input": [
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {
                "type": "function_call_output",
                "call_id": "c1",
                "output": [{"type": "input_text", "text": IBAN}],
            },
        ]
    },
    "tool description": {"tools": [{**TOOL, "description": f"pays {IBAN}"}]},
    "tool schema": {
        "tools": [{**TOOL, "parameters": {"type": "object", "properties": {"x": {"const": IBAN}}}}]
    },
    "text schema": {
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"enum": [IBAN]}}},
    },
    "metadata": {"metadata": {"account": IBAN}},
    "user": {"user": IBAN},
}


@pytest.mark.parametrize("field", HIDDEN)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_confidential_text_in_any_field_never_reaches_the_cloud(
    plain: Scene, field: str, stream: bool
) -> None:
    s = plain
    for prefer in ("cloud", "tier3"):
        body = {"model": "auto", "input": "hello", "stream": stream} | HIDDEN[field]
        assert post(s, body, **{"x-pointsman-prefer": prefer}).status_code < 500
    assert IBAN.encode() not in s.cloud.received_bytes
    if field != "metadata":  # it is sent to nobody
        assert not s.cloud.received_bytes


def test_what_was_confidential_stays_so_when_it_is_continued(plain: Scene) -> None:
    s = plain
    found = s.ask.responses.create(model="auto", input=f"pay {IBAN}", store=True)
    said = s.ask.responses.create(
        model="auto",
        input="plans for the merger",
        store=True,
        extra_headers={"x-pointsman-sensitivity": "confidential"},
    )
    for made in (found, said):
        raw = s.ask.responses.with_raw_response.create(
            model="auto",
            input="go on",
            previous_response_id=made.id,
            extra_headers={"x-pointsman-prefer": "cloud"},
        )
        assert raw.headers["x-pointsman-lane"].startswith("local")
    assert not s.cloud.received_bytes


# --- refused ---------------------------------------------------------------------------------------------------

PICTURE = {"type": "input_image", "image_url": "https://x.example/a.png"}
FTP = {"type": "input_image", "image_url": "ftp://x"}


def said(part: dict[str, str], role: str = "user") -> list[Any]:
    return [{"role": role, "content": [part]}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL, {"type": "file_search", "vector_store_ids": []}]}, "tools[1].type"),
        ({"tools": [{**TOOL, "parameters": {"type": 7}}]}, "tools[0].parameters"),
        ({"tool_choice": {"type": "function", "name": "nobody"}}, "tool_choice.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": said({"type": "input_file", "file_id": "f"})}, "input[0].content[0].type"),
        ({"input": [{"content": "a", "role": "user"}, *said(FTP)]}, "input[1].content[0].image_url"),
        ({"input": said(PICTURE, "system")}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call_output", "call_id": "c9", "output": "x"}]}, "input[0].call_id"),
        ({"input": [*LOOKED[:2], LOOKED[2] | {"output": [FTP]}]}, "input[2].output[0].image_url"),
        ({"input": [*LOOKED[:2], LOOKED[2] | {"output": [{"type": "input_file"}]}]}, "input[2].output[0].type"),
        ({"input": []}, "input"),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": 7}}}}, "text.format.schema"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["file_search_call.results"]}, "include[0]"),
        ({"metadata": {"a": 7}}, "metadata.a"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_its_name(
    plain: Scene, body: dict[str, Any], param: str
) -> None:
    s = plain
    answer = post(s, {"model": "auto", "input": "hello"} | body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert param in answer.json()["error"]["message"]
    assert not s.local.received_bytes
    assert not s.cloud.received_bytes


def test_a_coding_agent(plain: Scene) -> None:
    """A huge prompt, forty tools, parallel calls and their results, twice with the same prefix."""
    s = plain
    tools: list[Any] = [{**TOOL, "name": f"tool_{i}", "description": "what it does " * 20} for i in range(40)]
    calls: list[Any] = [
        {"type": "function_call", "call_id": f"c{i}", "name": f"tool_{i}", "arguments": '{"city": "x"}'}
        for i in range(8)
    ]
    results: list[Any] = [
        {"type": "function_call_output", "call_id": f"c{i}", "output": f"result {i}"} for i in range(8)
    ]
    ask: dict[str, Any] = {
        "model": "auto",
        "instructions": "You are a careful engineer who edits files. " * 2000,
        "tools": tools,
        "parallel_tool_calls": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "medium", "summary": "auto"},
        "prompt_cache_key": "session",
        "stream": True,
    }
    begin: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "fix the bug"}]}]
    for items in (begin, [*begin, *calls, *results]):
        events = list(s.ask.responses.create(**ask, input=items))
        assert events[-1].type == "response.completed"
    first, second = (json.dumps(request.json["messages"]) for request in s.cloud.requests)
    assert second.startswith(first[:-1])
    sent = s.cloud.requests[-1].json
    assert isinstance(sent, dict)
    assert [m["role"] for m in sent["messages"]] == ["system", "user", "assistant", *["tool"] * 8]
    assert len(sent["messages"][2]["tool_calls"]) == 8
