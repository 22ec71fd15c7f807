"""A database that hangs keeps nobody waiting, and one that is back is used again."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import OperationalError

from serve import shelf, state
from serve.errors import InvalidRequest, ResponsesUnavailable
from serve.shelf import Shelf


class Store:
    """Stands in for a database that can be made to hang."""

    def __init__(self) -> None:
        self.hang, self.begun, self.closed = (threading.Event() for _ in range(3))
        self.hang.set()

    def work(self) -> str:
        self.begun.set()
        self.hang.wait(30)
        return "done"

    def close(self) -> None:
        self.closed.set()


def fails(_: Store, __: int) -> str:
    raise OperationalError("select 'the secret'", {}, Exception())


def works(store: Store, _: int) -> str:
    return store.work()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(shelf, "HANGS_S", 0.5)
    monkeypatch.setattr(shelf, "RETRY_S", 1.0)
    return Store()


@pytest.fixture
async def kept(store: Store) -> AsyncIterator[Shelf[Store]]:
    made = Shelf("responses", None, lambda: store, ResponsesUnavailable, time.time)
    yield made
    store.hang.set()
    await made.close()
    assert store.closed.is_set()


async def test_whoever_comes_while_the_database_hangs_is_told_at_once(
    kept: Shelf[Store], store: Store
) -> None:
    store.hang.clear()
    first = asyncio.create_task(kept.run(works))
    await asyncio.to_thread(store.begun.wait)
    second = asyncio.create_task(kept.run(works))
    await asyncio.sleep(0.8)
    for _ in range(3):
        with pytest.raises(ResponsesUnavailable):
            await kept.run(works)
    assert not first.done()
    store.hang.set()
    assert [await first, await second, await kept.run(works)] == ["done"] * 3


async def test_who_waited_for_a_database_that_took_long_to_fail_does_not_try_it_too(
    kept: Shelf[Store], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.hang.clear()

    def fails_late(store: Store, now: int) -> str:
        store.work()
        return fails(store, now)

    both = [asyncio.create_task(kept.run(work)) for work in (fails_late, works)]
    await asyncio.to_thread(store.begun.wait)
    store.begun.clear()
    await asyncio.sleep(0.8)
    store.hang.set()
    found = await asyncio.gather(*both, return_exceptions=True)
    assert [type(one) for one in found] == [ResponsesUnavailable] * 2
    assert not store.begun.is_set()
    assert "the secret" not in caplog.text
    await asyncio.sleep(1.2)
    assert await kept.run(works) == "done"


async def test_a_database_that_fails_at_once_is_tried_again_at_once(kept: Shelf[Store]) -> None:
    for _ in range(3):
        with pytest.raises(ResponsesUnavailable):
            await kept.run(fails)
        assert await kept.run(works) == "done"


async def test_what_the_work_refuses_is_no_fault_of_the_database(kept: Shelf[Store]) -> None:
    def refuses(_: Store, __: int) -> str:
        raise InvalidRequest("too large together")

    with pytest.raises(InvalidRequest, match="too large"):
        await kept.run(refuses)
    assert await kept.run(works) == "done"


async def test_sweeping_goes_on_whatever_becomes_of_one(kept: Shelf[Store]) -> None:
    swept: list[int] = []
    often = asyncio.Event()

    async def sweep() -> None:
        swept.append(len(swept))
        if len(swept) == 1:
            await kept.run(fails)
        if len(swept) == 2:
            raise RuntimeError
        if len(swept) == 4:
            often.set()

    sweeping = asyncio.create_task(kept.keep_clean(0.01, sweep))
    await often.wait()
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping


@pytest.mark.parametrize("url", ["no url", f"sqlite:////tmp/{'x' * 300}/state.db"])
async def test_a_database_of_which_nobody_can_tell_whether_it_is_there_cannot_be_used(url: str) -> None:
    def opened() -> Store:
        state.open_database(url)
        return Store()

    shelf_of_it = Shelf("responses", url, opened, ResponsesUnavailable, time.time)
    assert await shelf_of_it.may_hold_some()
    with pytest.raises(ResponsesUnavailable):
        await shelf_of_it.run(works)
    await shelf_of_it.close()


async def test_closing_does_not_wait_for_a_database_that_hangs(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shelf, "LONGEST_S", 0.2)
    made = Shelf("responses", None, lambda: store, ResponsesUnavailable, time.time)
    store.hang.clear()
    with pytest.raises(ResponsesUnavailable):
        await made.run(works)
    await made.close()
    assert "hangs" in caplog.text
    assert not store.closed.is_set()
    store.hang.set()
    assert await asyncio.to_thread(store.closed.wait, 30)


async def test_closing_waits_for_what_is_being_written(store: Store) -> None:
    made = Shelf("responses", None, lambda: store, ResponsesUnavailable, time.time)
    store.hang.clear()
    first = asyncio.create_task(made.run(works))
    await asyncio.to_thread(store.begun.wait)
    closing = asyncio.create_task(made.close())
    await asyncio.sleep(0.1)
    assert not store.closed.is_set()
    store.hang.set()
    await closing
    assert store.closed.is_set()
    assert await first == "done"
