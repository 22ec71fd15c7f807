"""A body that breaks off, or is not wanted any more: closed by the lane that reads it, never by the collector.

A generator that the collector finds is closed some time later in a task of its own, or not at all where its event
loop has ended, and until then it keeps its connection.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any, get_args

import httpx2
import pytest

from serve import egress
from serve.cloud import CloudProxy
from serve.config import Location
from serve.lane_errors import LaneError, LaneFull, LaneMisconfigured, LaneRateLimited, LaneUnserving
from serve.lanes.base import LaneCall
from serve.signals.readings import Sensitivity
from tests.support.serving import config
from tests.support.upstream import ThreadedUpstream

LANES = ["cloud-openai", "cloud-anthropic"]
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello"}]}).encode()
ITS_OWN = {"PoolByteStream.__aiter__"}
"""httpx2's innermost, which its response stream leaves behind; the connection is closed without it."""


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as running:
        yield running


@contextmanager
def left_behind() -> Iterator[list[str]]:
    """The names of generators that nobody has closed when they are let go; the event loop must be running."""
    found: list[str] = []
    hooks = sys.get_asyncgen_hooks()

    def note(generator: AsyncGenerator[Any, Any]) -> None:
        found.append(getattr(generator, "__qualname__", "?"))
        assert hooks.finalizer is not None
        hooks.finalizer(generator)

    sys.set_asyncgen_hooks(firstiter=hooks.firstiter, finalizer=note)
    try:
        yield found
    finally:
        sys.set_asyncgen_hooks(*hooks)


async def asked(proxy: CloudProxy, lane: str, stream: bool, most: int = 1_000_000) -> None:
    """Ask, and read at most so many pieces. Raises LaneError."""
    permit = egress.Permit(Sensitivity.PUBLIC, frozenset(get_args(Location)))
    try:
        async with aclosing(proxy.answer(LaneCall(lane, BODY, stream, permit, "dec_1"))) as pieces:  # type: ignore[type-var]
            async for _ in pieces:
                if (most := most - 1) < 0:
                    return
    finally:
        await proxy.close()


async def answer(upstream: ThreadedUpstream, lane: str, fault: str, stream: bool, most: int) -> None:
    """How it ends does not matter."""
    with suppress(LaneError):
        await asked(CloudProxy(config(upstream.url, upstream.url, models={lane: fault})), lane, stream, most)
    await asyncio.sleep(0)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "fault", ["ok", "err_in_stream_2", "error_event_2", "bad_json", "no_done", "huge_line_10240"]
)
async def test_whatever_an_upstream_does_the_lane_closes_what_it_opened(
    upstream: ThreadedUpstream, lane: str, stream: bool, fault: str
) -> None:
    with left_behind() as left:
        await answer(upstream, lane, fault, stream, most=1_000_000)
    assert set(left) <= ITS_OWN


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("status", "kind", "wait"),
    [("429 Too Many", LaneRateLimited, 7), ("302 Found\r\nlocation: /x", LaneMisconfigured, None)],
    ids=["error", "redirect"],
)
async def test_the_body_of_an_error_is_not_read(
    lane: str, stream: bool, status: str, kind: type[LaneError], wait: float | None
) -> None:
    """The status and its `Retry-After` count at once; what follows may never end."""
    cut = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nretry-after: 7\r\ncontent-length: 10\r\n\r\n{{".encode())
        await reader.read()
        cut.set()
        writer.close()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(kind) as caught:
            await asked(CloudProxy(config(url, url)), lane, stream)
        await cut.wait()
    assert caught.value.retry_after_s == wait


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(
    ("error", "kind"), [(httpx2.PoolTimeout, LaneFull), (httpx2.ConnectTimeout, LaneUnserving)]
)
async def test_what_was_never_sent_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, lane: str, error: type[httpx2.TimeoutException], kind: type[LaneError]
) -> None:
    """A provider that drops our packets, and a pool that is in use: no byte went out."""

    async def late(*_: object) -> httpx2.Response:
        raise error("late")

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", late)
    with pytest.raises(kind) as caught:
        await asked(CloudProxy(config("http://127.0.0.1:9/v1", "http://127.0.0.1:9")), lane, False)
    assert caught.value.free


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("read", [1, 2])
async def test_a_reader_that_leaves_leaves_nothing_behind(
    upstream: ThreadedUpstream, lane: str, read: int
) -> None:
    with left_behind() as left:
        await answer(upstream, lane, "slow_second_chunk_4000", True, most=read)
    assert set(left) <= ITS_OWN
    upstream.wait_until(lambda: all(one.closed_by for one in upstream.connections))
