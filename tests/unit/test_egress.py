"""The gate believes neither the permit nor the text alone, and its client goes nowhere but straight there."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, get_args

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve import egress
from serve.cloud import CloudProxy
from serve.config import Config, HttpLane, Location
from serve.egress import Permit
from serve.lane_errors import LaneEgressDenied
from serve.lanes.base import LaneCall
from serve.signals.readings import Sensitivity
from tests.support.upstream import ThreadedUpstream

LOCATIONS: tuple[Location, ...] = get_args(Location)
CLEAN = "Why is the sky blue?"
SECRET = "My SSN is 536-90-4399, please fill in the form"
USUAL = {"public": LOCATIONS, "internal": ("device", "private", "eu"), "confidential": ("device", "private")}


def config(url: str = "http://127.0.0.1:9/v1", kind: str = "openai", **locations: Any) -> Config:
    """One lane at every location, called by it."""
    lanes = [
        {"name": place, "kind": kind, "model": "ok", "base_url": url, "location": place, "context": 8192}
        for place in LOCATIONS
    ]
    rules = [{"name": "default", "prefer": ["device"], "because": "the only rule"}]
    places = {name: list(where) for name, where in (USUAL | locations).items()}
    return Config.model_validate({"lanes": lanes, "policy": {"rules": rules, "locations": places}})


def lane(settings: Config, name: str) -> HttpLane:
    made = settings.lane(name)
    assert isinstance(made, HttpLane)
    return made


def body(content: Any, **more: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}]} | more).encode()


def permit(level: Sensitivity = Sensitivity.PUBLIC, *places: Location) -> Permit:
    return Permit(level, frozenset(places or LOCATIONS))


def passes(place: str, allowed: Permit, outgoing: bytes, settings: Config | None = None) -> bool:
    settings = settings or config()
    try:
        egress.check(lane(settings, place), allowed, outgoing, settings)
    except LaneEgressDenied as error:
        return error.lane != place
    return True


@pytest.mark.parametrize("place", LOCATIONS)
def test_clean_text_passes_to_every_place_its_permit_names_and_to_no_other(place: Location) -> None:
    others = tuple(other for other in LOCATIONS if other != place)
    assert passes(place, permit(Sensitivity.PUBLIC, place), body(CLEAN))
    assert not passes(place, permit(Sensitivity.PUBLIC, *others), body(CLEAN))
    assert not passes(place, Permit(Sensitivity.PUBLIC, frozenset()), body(CLEAN))


@pytest.mark.parametrize(
    ("level", "allowed"),
    [
        pytest.param(Sensitivity.PUBLIC, set(LOCATIONS), id="public"),
        pytest.param(Sensitivity.INTERNAL, {"device", "private", "eu"}, id="internal"),
        pytest.param(Sensitivity.CONFIDENTIAL, {"device", "private"}, id="confidential"),
    ],
)
def test_a_permit_whose_places_are_wider_than_its_class_is_not_believed(
    level: Sensitivity, allowed: set[str]
) -> None:
    assert {place for place in LOCATIONS if passes(place, permit(level), body(CLEAN))} == allowed


HIDDEN: list[Any] = [
    pytest.param(body(SECRET), id="text"),
    pytest.param(body([{"type": "text", "text": SECRET}]), id="part"),
    pytest.param(body([{"type": "text", "text": SECRET[:13]}, {"type": "text", "text": SECRET[13:]}]), id="two-parts"),
    pytest.param(body(SECRET.replace("-", "\u2011")), id="other-dashes"),
    pytest.param(body(SECRET.replace("3", "\u0663").replace("6", "\uff16")), id="other-digits"),
    pytest.param(body(CLEAN, tools=[{"function": {"name": "f", "description": SECRET}}]), id="tool"),
    pytest.param(body(CLEAN, tools=[{"type": "function", "function": {
        "name": "f", "parameters": {"properties": {"a": {"enum": [SECRET]}}}}}]), id="schema-enum"),
    pytest.param(body(CLEAN, tools=[{"type": "function", "function": {
        "name": "f", "parameters": {"properties": {SECRET: {}}}}}]), id="schema-key"),
    pytest.param(body(CLEAN, response_format={"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"description": SECRET}}}), id="answer-schema"),
    pytest.param(body(CLEAN, stop=[SECRET]), id="stop"),
    pytest.param(body(CLEAN, user="536-90-4399 SSN"), id="user"),
    pytest.param(body(CLEAN, something_new={"deep": [[SECRET]]}), id="a-field-nobody-knows"),
    pytest.param(json.dumps({"messages": [
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": SECRET}}]}]}).encode(),
        id="arguments"),
    pytest.param(json.dumps({"messages": [{"role": "tool", "tool_call_id": "1", "content": SECRET}]}).encode(),
                 id="tool-result"),
    pytest.param(body([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]), id="image-url"),
    pytest.param(body([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]), id="image"),
    pytest.param(body([{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]), id="audio"),
]  # fmt: skip


@pytest.mark.parametrize("outgoing", HIDDEN)
def test_the_bytes_are_read_again_whatever_the_permit_says(outgoing: bytes) -> None:
    assert not passes("global", permit(Sensitivity.PUBLIC), outgoing)
    assert not passes("eu", permit(Sensitivity.PUBLIC), outgoing)


@pytest.mark.parametrize("outgoing", HIDDEN)
@pytest.mark.parametrize("place", ["device", "private"])
def test_on_the_premises_anything_may_be_answered(outgoing: bytes, place: str) -> None:
    assert passes(place, permit(Sensitivity.CONFIDENTIAL), outgoing)


def test_on_the_premises_text_is_read_again_where_the_policy_keeps_secrets_closer() -> None:
    closer = config(confidential=("device",))
    assert passes("private", permit(), body(CLEAN), closer)
    assert not passes("private", permit(), body(SECRET), closer)
    assert passes("device", permit(), body(SECRET), closer)


levels, places = st.sampled_from(Sensitivity), st.frozensets(st.sampled_from(LOCATIONS))


@settings(deadline=None)
@given(levels, places, places)
def test_narrowing_a_permit_never_widens_it(level: Sensitivity, some: Any, others: Any) -> None:
    narrowed = Permit(level, some).narrowed(others)
    assert narrowed.locations <= some & others
    assert narrowed.level is level


@settings(deadline=None)
@given(levels, places, st.sampled_from(LOCATIONS), st.sampled_from([CLEAN, SECRET]))
def test_whatever_the_permit_no_secret_goes_abroad(
    level: Sensitivity, some: Any, place: str, content: str
) -> None:
    if passes(place, Permit(level, some), body(content)):
        assert place in some
        assert place in ("device", "private") or (content == CLEAN and level < Sensitivity.CONFIDENTIAL)


def test_a_refusal_does_not_repeat_the_text() -> None:
    with pytest.raises(LaneEgressDenied) as error:
        egress.check(lane(config(), "global"), permit(), body(SECRET), config())
    assert "536" not in str(error.value)


# At the proxy, with real sockets.


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as running:
        yield running


async def asked(proxy: CloudProxy, name: str, allowed: Permit, outgoing: bytes, stream: bool) -> list[str]:
    call = LaneCall(name, outgoing, stream, allowed, "dec_1")
    try:
        return [document async for piece in proxy.answer(call) for document in piece]
    finally:
        await proxy.close()


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_the_gate_refuses_opens_no_connection(
    upstream: ThreadedUpstream, kind: str, stream: bool
) -> None:
    proxy = CloudProxy(config(f"{upstream.url}/v1" if kind == "openai" else upstream.url, kind))
    with pytest.raises(LaneEgressDenied):
        await asked(proxy, "global", permit(), body(SECRET), stream)
    assert not upstream.connections
    assert not upstream.received_bytes


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_the_environments_proxies_see_nothing(
    monkeypatch: pytest.MonkeyPatch, upstream: ThreadedUpstream, kind: str
) -> None:
    with ThreadedUpstream() as trap:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, trap.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        proxy = CloudProxy(config(f"{upstream.url}/v1" if kind == "openai" else upstream.url, kind))
        assert await asked(proxy, "global", permit(), body(CLEAN), False)
        assert len(upstream.requests) == 1
        assert not trap.connections
        async with httpx2.AsyncClient() as gullible:
            await gullible.get(upstream.url)
        assert trap.connections, "the trap would not have noticed"
        trap.wait_until(lambda: all(one.closed_by for one in trap.connections))


def test_the_client_follows_no_redirects_and_keeps_within_its_lanes_bound() -> None:
    http = egress.client(lane(config(), "global"))
    assert not http.follow_redirects
    assert not http.trust_env


async def test_no_request_goes_out_on_a_connection_that_the_upstream_may_be_closing() -> None:
    """vLLM closes what was idle for 5 s. A request that meets that on its way is lost."""
    ends: list[asyncio.Event] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(asyncio.Event())
        end = ends[-1]
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        end.set()

    upstream = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    async with upstream:
        async with egress.client(lane(config(), "device")) as client:
            for pause_s, made in ((0, 1), (0, 1), (4.3, 2)):
                await asyncio.sleep(pause_s)
                assert (await client.get(f"http://127.0.0.1:{port}/")).text == "ok"
                assert len(ends) == made
        await asyncio.gather(*(end.wait() for end in ends))


async def test_a_cookie_of_one_answer_goes_out_with_no_other_request() -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nset-cookie: who=ada; path=/\r\ncontent-length: 2\r\n"
                     b"connection: close\r\n\r\nok")  # fmt: skip
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as upstream:
        url = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}/"
        async with egress.client(lane(config(), "device")) as client:
            for _ in range(2):
                assert (await client.get(url)).text == "ok"
    assert [b"cookie" in head.lower() for head in heads] == [False, False]
