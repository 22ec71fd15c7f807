"""A client that stops reading: whichever message it does not take, it is dropped and what it held is free."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from serve.edge_answer import EventStream


@pytest.mark.parametrize("taken", [0, 1, 2, 3], ids=["head", "first-event", "last-event", "end"])
async def test_a_client_that_takes_no_more_is_dropped_at_any_message(taken: int) -> None:
    got: list[Message] = []
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        for _ in range(2):
            yield b"data: x\n\n"

    async def send(message: Message) -> None:
        if len(got) == taken:
            await asyncio.Event().wait()
        got.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def close() -> None:
        closed.set()

    stream = EventStream(events(), close, {}, stall_s=0.01)
    async with asyncio.timeout(30):  # far above any drop: only a client that is never dropped meets it
        await stream({"type": "http"}, receive, send)
    assert (len(got), closed.is_set()) == (taken, True)
