"""What an attempt is settled at: by what the lane said at its end, and by an estimate where that was not heard."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from serve.keys.rights import ANONYMOUS
from serve.ledger.bill import Bill, Charge
from serve.ledger.desk import Desk
from serve.ledger.estimate import UNDER_WAY_TOKENS, Size, Tokens, worst
from serve.ledger.terms import Payer, Terms
from serve.wire.openai_answer import ChatChunk, chunk, completion
from tests.support.serving import config

LANE = "cloud-openai"
PRICES = {"version": "test", "lanes": {LANE: {"input": 1, "output": 10}}}
WORDS = 300


class Kept:
    """One bill in a ledger of its own, and what it was settled at."""

    def __init__(self, desk: Desk) -> None:
        self.terms = Terms(config("http://127.0.0.1:1", "http://127.0.0.1:2", prices=PRICES))
        self.desk = desk
        self.settled: list[Tokens] = []

    async def charge(self, limit: int | None = None, choices: int = 1) -> Charge:
        """An attempt that the lane has taken."""
        size = Size(100, limit, choices)
        bill = Bill(self.desk, self.terms, Payer(ANONYMOUS), size, "dec_test")
        bill.watch = lambda lane, key, tokens, cost: self.settled.append(tokens)
        charge = await bill.begin(LANE)
        charge.taken()
        return charge

    def most(self, limit: int | None = None) -> Tokens:
        return worst(Size(100, limit), self.terms.tariffs[LANE])


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    desk = Desk(f"sqlite:///{tmp_path / 'state.db'}")
    desk.start()
    yield Kept(desk)
    await asyncio.to_thread(desk.close)


def usage(taken: int, given: int, total: int | None = None) -> dict[str, int]:
    total = taken + given if total is None else total
    return {"prompt_tokens": taken, "completion_tokens": given, "total_tokens": total}


def part(
    text: str | None = None, finish: str | None = None, said: dict[str, int] | None = None, index: int = 0
) -> ChatChunk:
    delta = {"content": text} if text else {}
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return made([choice], said)


def made(choices: list[dict[str, Any]], said: dict[str, int] | None) -> ChatChunk:
    return chunk(LANE, json.dumps({"id": "i", "created": 1, "model": "m", "choices": choices, "usage": said}))


def hear_whole(charge: Charge, said: dict[str, int]) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
    raw = {"id": "i", "created": 1, "model": "m", "choices": [choice], "usage": said}
    charge.hear(completion(LANE, json.dumps(raw)))
    charge.end(None)


@pytest.mark.parametrize("limit", [None, 50])
async def test_what_stands_in_the_total_alone_is_output(kept: Kept, limit: int | None) -> None:
    """Some providers bill for thoughts that they count there alone, and no `max_tokens` holds for them."""
    hear_whole(await kept.charge(limit), usage(32, 1, 1133))
    assert kept.settled == [Tokens(32, 0, 1101, certain=True)]


@pytest.mark.parametrize("total", [0, 1, 33])
async def test_a_total_under_its_parts_takes_nothing_from_them(kept: Kept, total: int) -> None:
    hear_whole(await kept.charge(), usage(32, 2, total))
    assert kept.settled == [Tokens(32, 0, 2, certain=True)]


@pytest.mark.parametrize(("limit", "given"), [(None, 2), (None, 20_000), (50, 2)])
async def test_a_total_over_what_the_lane_holds_leaves_the_worst(
    kept: Kept, limit: int | None, given: int
) -> None:
    """S9: no more than that, and no less than the counts beside it."""
    hear_whole(await kept.charge(limit), usage(32, given, 2 * 10**9))
    most = kept.most(limit)
    assert [(t.input, t.output, t.certain) for t in kept.settled] == [
        (most.input, max(most.output, given), False)
    ]


@pytest.mark.parametrize("keepalive", [False, True])
async def test_a_count_on_the_way_is_no_bill_of_a_stream_that_is_cut(kept: Kept, keepalive: bool) -> None:
    charge = await kept.charge()
    charge.hear(part("Hello", said=usage(100, 1)))
    for _ in range(WORDS):
        charge.hear(part(" word"))
    if keepalive:
        charge.hear(made([], usage(100, 1)))
    charge.end(asyncio.CancelledError())
    (tokens,) = kept.settled
    assert not tokens.certain
    assert tokens.output >= WORDS + UNDER_WAY_TOKENS
    assert tokens.input == kept.most().input


async def test_a_stream_that_is_cut_costs_no_less_than_was_counted_on_the_way(kept: Kept) -> None:
    """Hidden thoughts that a server counts while it thinks."""
    charge = await kept.charge()
    charge.hear(part("Hello", said=usage(100, 9000)))
    charge.end(asyncio.CancelledError())
    (tokens,) = kept.settled
    assert (tokens.output, tokens.certain) == (9000, False)


async def test_a_count_before_the_first_word_leaves_the_worst(kept: Kept) -> None:
    charge = await kept.charge()
    charge.hear(part(said=usage(100, 0)))
    charge.end(asyncio.CancelledError())
    assert kept.settled == [kept.most()]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [None, asyncio.CancelledError()])
async def test_usage_with_or_after_the_finish_reason_is_the_bill(
    kept: Kept, after: bool, error: BaseException | None
) -> None:
    charge = await kept.charge()
    charge.hear(part("Hello", said=usage(100, 1)))
    charge.hear(part(finish="stop", said=None if after else usage(100, 7)))
    if after:
        charge.hear(made([], usage(100, 7)))
    charge.end(error)
    assert kept.settled == [Tokens(100, 0, 7, certain=True)]


async def test_one_choice_that_has_ended_is_not_the_end(kept: Kept) -> None:
    charge = await kept.charge(choices=2)
    charge.hear(part("Hello"))
    charge.hear(part("Hello", index=1))
    charge.hear(part(finish="stop", said=usage(100, 2)))
    for _ in range(WORDS):
        charge.hear(part(" word", index=1))
    charge.end(asyncio.CancelledError())
    (tokens,) = kept.settled
    assert not tokens.certain
    assert tokens.output > WORDS


async def test_a_stream_that_counts_only_on_the_way_leaves_the_worst(kept: Kept) -> None:
    charge = await kept.charge()
    charge.hear(part("Hello", said=usage(100, 1)))
    charge.hear(part(finish="stop"))
    charge.end(None)
    assert kept.settled == [kept.most()]
