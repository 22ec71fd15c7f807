"""Bundles of chunks: nothing lost, nothing reordered, nothing left running."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.coalesce import MOST_SIZE, coalesce

FOREVER = 3600.0
TINY = 0.001


class Source:
    """Plays items, pauses and failures, and notes how it ended."""

    def __init__(self, *steps: str | float | BaseException) -> None:
        self.steps = steps
        self.closed = 0
        self.cancelled = False
        self.waiting = asyncio.Event()

    async def items(self) -> AsyncIterator[str]:
        try:
            for step in self.steps:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, float):
                    self.waiting.set()
                    await asyncio.sleep(step)
                else:
                    yield step
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.closed += 1


async def bundles(source: Source, **options: Any) -> list[list[str]]:
    return [bundle async for bundle in coalesce(source.items(), **options)]


async def test_what_is_there_goes_out_at_once_and_together() -> None:
    stream: Any = coalesce(Source("a", "b", FOREVER).items(), flush_s=FOREVER)
    assert await anext(stream) == ["a", "b"]
    await stream.aclose()


async def test_the_first_words_do_not_wait_behind_the_role() -> None:
    stream: Any = coalesce(Source("role", TINY, "words", FOREVER).items(), flush_s=FOREVER)
    assert [await anext(stream), await anext(stream)] == [["role"], ["words"]]
    await stream.aclose()


async def test_a_slow_source_is_never_held_up() -> None:
    """Each item comes after the pause between two bundles is over: the reader has it before the source goes on."""
    with_reader: list[tuple[str, list[str]]] = []
    heard: list[str] = []

    async def slow() -> AsyncIterator[str]:
        for item in "abcdef":
            with_reader.append((item, list(heard)))
            yield item
            await asyncio.sleep(20 * TINY)

    async for bundle in coalesce(slow(), flush_s=TINY):
        heard += bundle
    assert with_reader == [(item, list("abcdef"[:i])) for i, item in enumerate("abcdef")]


async def test_what_comes_soon_after_travels_together() -> None:
    source = Source("a", TINY, "b", TINY, "c", TINY, "d", TINY, "e")
    assert await bundles(source, flush_s=FOREVER) == [["a"], ["b"], ["c", "d", "e"]]


async def test_a_full_bundle_does_not_wait() -> None:
    source = Source("a", TINY, "b", TINY, "c", "d", "e", "f", FOREVER)
    stream: Any = coalesce(source.items(), flush_s=FOREVER, most=3)
    assert [await anext(stream) for _ in range(3)] == [["a"], ["b"], ["c", "d", "e"]]
    await stream.aclose()


async def test_a_bundle_holds_no_more_than_its_bound() -> None:
    source = Source(*(str(i) for i in range(8)))
    assert [len(bundle) for bundle in await bundles(source, flush_s=FOREVER, most=3)] == [3, 3, 2]


async def test_large_items_fill_a_bundle() -> None:
    long, longer = "a" * (MOST_SIZE // 2), "b" * MOST_SIZE
    seen = await bundles(Source(long, long, "c", longer, "d"), flush_s=FOREVER)
    assert seen == [[long, long], ["c", longer], ["d"]]


async def test_no_more_is_read_ahead_than_a_bundle_holds() -> None:
    read: list[int] = []

    async def source() -> AsyncIterator[str]:
        for i in range(10):
            read.append(i)
            yield str(i)

    stream: Any = coalesce(source(), most=3)
    assert await anext(stream) == ["0", "1", "2"]
    for _ in range(20):
        await asyncio.sleep(0)
    assert read == [0, 1, 2, 3, 4, 5]
    await stream.aclose()


async def test_an_item_that_was_late_is_not_lost() -> None:
    assert await bundles(Source("a", "b", 0.05, "c"), flush_s=TINY) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        pytest.param([], [], id="at-once"),
        pytest.param(["a"], ["a"], id="after-the-first"),
        pytest.param(["a", "b", "c"], ["a", "b", "c"], id="within-a-bundle"),
        pytest.param(["a", "b", 0.02], ["a", "b"], id="after-a-pause"),
    ],
)
async def test_a_failure_comes_after_everything_before_it(steps: Sequence[Any], seen: list[str]) -> None:
    source = Source(*steps, KeyError("broken"))
    got: list[str] = []
    with pytest.raises(KeyError, match="broken"):
        await gather_into(got, source)
    assert got == seen
    assert source.closed == 1


async def gather_into(got: list[str], source: Source) -> None:
    async for bundle in coalesce(source.items(), flush_s=TINY):
        got.extend(bundle)


async def test_an_empty_source_is_an_empty_stream() -> None:
    assert await bundles(Source()) == []


@pytest.mark.parametrize("read", [1, 2], ids=["after-the-first", "while-an-item-is-awaited"])
async def test_closing_it_closes_the_source(read: int) -> None:
    source = Source("a", TINY, "b", FOREVER)
    stream: Any = coalesce(source.items(), flush_s=TINY)
    for _ in range(read):
        await anext(stream)
    await stream.aclose()
    assert source.closed == 1


@pytest.mark.parametrize("steps", [(FOREVER,), ("a", FOREVER), ("a", "b", FOREVER)], ids=["0", "1", "2"])
async def test_cancelling_the_reader_closes_the_source(steps: Any) -> None:
    source = Source(*steps)
    task = asyncio.create_task(bundles(source, flush_s=FOREVER))
    await source.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (source.closed, source.cancelled) == (1, True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_second_cancellation_cuts_no_closing_short() -> None:
    """A client leaves while a time-out unwinds: the source still ends, and with it its connection."""
    ended, begun = asyncio.Event(), asyncio.Event()

    async def slow_to_close() -> AsyncIterator[str]:
        try:
            yield "a"
        finally:
            begun.set()
            await asyncio.sleep(TINY)
            ended.set()

    async def read() -> None:
        async with aclosing(coalesce(slow_to_close())) as stream:
            async for _ in stream:
                await asyncio.sleep(FOREVER)

    task = asyncio.create_task(read())
    await asyncio.sleep(TINY)
    task.cancel()
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await ended.wait()


async def test_a_source_that_is_cancelled_itself_is_not_an_end() -> None:
    with pytest.raises(asyncio.CancelledError):
        await bundles(Source("a", "b", asyncio.CancelledError()), flush_s=TINY)


class Bare:
    """An iterator that cannot be closed."""

    def __init__(self) -> None:
        self.left = ["a", "b"]

    def __aiter__(self) -> "Bare":
        return self

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)


async def test_a_source_that_cannot_be_closed_will_do() -> None:
    assert [bundle async for bundle in coalesce(Bare())] == [["a", "b"]]


pauses = st.sampled_from([0.0, 0.0, TINY, 3 * TINY])
patterns = st.lists(st.tuples(pauses, st.text("ab", max_size=2)), max_size=25)


@settings(deadline=None, max_examples=60)
@given(patterns, st.integers(1, 4), st.booleans(), st.sampled_from([0.0, TINY]))
def test_whatever_comes_and_when_it_arrives_whole_and_in_order(
    pattern: list[tuple[float, str]], most: int, breaks: bool, reader_s: float
) -> None:
    steps: list[Any] = [step for pause, item in pattern for step in (pause, item)]
    source_failure = [KeyError("end")] if breaks else []

    async def read() -> None:
        source = Source(*steps, *source_failure)
        got: list[list[str]] = []
        try:
            async for bundle in coalesce(source.items(), flush_s=2 * TINY, most=most):
                got.append(bundle)
                await asyncio.sleep(reader_s)
        except KeyError:
            assert breaks
        else:
            assert not breaks
        assert [item for bundle in got for item in bundle] == [item for _, item in pattern]
        assert all(1 <= len(bundle) <= most for bundle in got)
        assert source.closed == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(read())
