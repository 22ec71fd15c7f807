"""Two legs, one winner: when the first is late, a second starts, and whoever loses is cancelled.

Knows tasks. Does not know lanes or budgets.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from serve.closing import surely

T = TypeVar("T")
Leg = Coroutine[Any, Any, T]


async def race(
    first: Leg[T],
    after_s: float,
    second: Callable[[], Leg[T] | None],
    won: Callable[[T], bool],
    discard: Callable[[T], Awaitable[None]],
) -> tuple[T | None, T | None]:
    """What each leg gave; None for one that was cancelled or never began.

    `second` is called when the first leg is still running after `after_s` seconds. `won` says whether a result
    ends the race. What a loser had finished all the same is handed to `discard`. Cancelling it cancels both, and
    whatever they had finished is discarded.
    """
    legs = [asyncio.create_task(first)]
    try:
        await asyncio.wait(legs, timeout=after_s)
        if not legs[0].done() and (spare := second()) is not None:
            legs.append(asyncio.create_task(spare))
        winner = await _winner(legs, won)
        losers = await _lost(legs, winner, won)
        for leg in losers:
            await discard(leg.result())
    except BaseException:
        await surely(_given_up(legs, won, discard))
        raise
    ended = [leg.result() if not leg.cancelled() and leg not in losers else None for leg in legs]
    return ended[0], ended[1] if len(ended) > 1 else None


async def _winner(legs: list[asyncio.Task[T]], won: Callable[[T], bool]) -> asyncio.Task[T] | None:
    pending = set(legs)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for leg in legs:
            if leg in done and won(leg.result()):
                return leg
    return None


async def _lost(
    legs: list[asyncio.Task[T]], winner: asyncio.Task[T] | None, won: Callable[[T], bool]
) -> list[asyncio.Task[T]]:
    """End all that still run. Those who finished, too, and did not win."""
    for leg in legs:
        leg.cancel()
    await asyncio.wait(legs)
    return [leg for leg in legs if leg is not winner and _finished(leg) and won(leg.result())]


async def _given_up(
    legs: list[asyncio.Task[T]], won: Callable[[T], bool], discard: Callable[[T], Awaitable[None]]
) -> None:
    for leg in await _lost(legs, None, won):
        await discard(leg.result())


def _finished(leg: asyncio.Task[T]) -> bool:
    return not leg.cancelled() and leg.exception() is None
