"""A client leaves, or Serve cancels, at any turn of the loop: what had been won is closed all the same."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from itertools import product
from typing import Any

import pytest
from starlette.requests import Request

from serve.closing import surely
from serve.edge_answer import ClientGone, EventStream, unless_gone
from serve.hedge import race

TURNS = range(8)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def given_up(work: Coroutine[Any, Any, object], *after: int) -> bool:
    """Whether `work` gave something although it was cancelled after so many turns, and after so many more."""
    task = asyncio.create_task(work)
    for count in after:
        await turns(count)
        task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0.01)
    return not task.cancelled() and task.exception() is None


class Client:
    """One end of a connection, as ASGI tells of it."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.got: list[str] = []

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.got.append(message["type"])


async def test_what_is_closed_surely_is_closed_although_its_waiter_leaves() -> None:
    closed = asyncio.Event()

    async def closing() -> None:
        await turns(3)
        closed.set()

    assert not await given_up(surely(closing()), 1)
    assert closed.is_set()


@pytest.mark.parametrize("after", [(k,) for k in TURNS] + list(product(range(4), range(4))), ids=str)
async def test_a_race_that_is_given_up_discards_whatever_was_won(after: tuple[int, ...]) -> None:
    won, discarded, ready = list[str](), list[str](), asyncio.Event()

    async def leg(name: str) -> str:
        await ready.wait()
        won.append(name)
        return name

    async def discard(name: str) -> None:
        await asyncio.sleep(0)
        discarded.append(name)

    async def raced() -> object:
        return await race(leg("first"), 0.001, lambda: leg("second"), bool, discard)

    task = raced()
    running = asyncio.create_task(task)
    await asyncio.sleep(0.01)
    ready.set()
    for count in after:
        await turns(count)
        running.cancel()
    await asyncio.wait({running})
    await asyncio.sleep(0.01)
    kept = [] if running.cancelled() else [name for name in running.result() if name]  # type: ignore[attr-defined]
    assert sorted(discarded + kept) == sorted(won)


@pytest.mark.parametrize("after", TURNS)
async def test_an_answer_that_nobody_gets_any_more_is_dropped(after: int) -> None:
    dropped: list[str] = []

    async def work() -> str:
        await turns(3)
        return "answer"

    async def drop(answer: str) -> None:
        await asyncio.sleep(0)
        dropped.append(answer)

    client, began = Client(), list[str]()

    async def asked() -> None:
        async def watched() -> str:
            answer = await work()
            began.append(answer)
            return answer

        await unless_gone(Request({"type": "http"}, client.receive), watched(), drop)

    got = await given_up(asked(), after)
    assert dropped == ([] if got else began)


async def test_a_client_that_leaves_first_ends_the_work() -> None:
    client, dropped = Client(), list[object]()
    client.gone.set()

    async def drop(answer: object) -> None:
        dropped.append(answer)

    with pytest.raises(ClientGone):
        await unless_gone(Request({"type": "http"}, client.receive), asyncio.sleep(3600), drop)
    assert dropped == []


@pytest.mark.parametrize("after", TURNS)
@pytest.mark.parametrize("leaves", [True, False])
async def test_a_stream_is_closed_whatever_comes_first(after: int, leaves: bool) -> None:
    closed = list[str]()

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: 1\n\n"
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            closed.append("events")

    async def close() -> None:
        closed.append("answer")

    client = Client()
    stream = EventStream(events(), close, {}, stall_s=60)
    task = asyncio.create_task(stream({"type": "http"}, client.receive, client.send))
    await asyncio.sleep(0.01)
    if leaves:
        client.gone.set()
    await turns(after)
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0.01)
    assert closed == ["events", "answer"]
