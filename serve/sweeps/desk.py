"""Shadow calls of one Router: drawn when a request is answered, made one at a time after its answer, or dropped.

Nobody waits for any of it, and no answer changes by it. What was said is held in memory until the call is over; while
lanes are busy, money is short or the Router ends, samples are dropped and counted.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from random import random
from typing import TYPE_CHECKING, TypeVar

from serve.config import Config
from serve.decision import Reason
from serve.job import Answer
from serve.ledger.estimate import Size
from serve.outcomes.port import Tracking
from serve.outcomes.row import Sampled
from serve.outcomes.said import GOOD_FROM, JUDGED_BY, Said
from serve.outcomes.tracker import Tracker
from serve.outcomes.writer import OutcomesDown
from serve.signals import context
from serve.sweeps import agreement, judge, pick, schedule
from serve.sweeps.call import Called, Caller, Purpose
from serve.sweeps.config import JUDGE, SWEEPS, payer
from serve.sweeps.result import Result
from serve.sweeps.sample import Listening, Sample, Wanted, spoken

if TYPE_CHECKING:
    from serve.outcomes.store import Store
    from serve.router import Decided

log = logging.getLogger("pointsman.sweeps")

PAUSE_S = 0.2
"""Between two calls, so that the answer is on its way before anything is made of it."""
MOST_WAITING = 8
LONGEST_WAIT_S = 60.0
_SPARE_TOKENS = 64

SWEEP = Purpose(SWEEPS, payer(SWEEPS), Reason("sweep", "A sample also goes to the tier below."))
JUDGED = Purpose(JUDGE, payer(JUDGE), Reason("judge", "A sample is judged by a model."))

Count = Callable[[str, str], None]
"""Told of each shadow call, made or dropped: its purpose and how it ended."""
T = TypeVar("T")


class Shadows:
    """`dice`: draws from 0 to 1. `clock`: Unix seconds."""

    def __init__(
        self,
        caller: Caller,
        tracking: Tracking,
        count: Count,
        dice: Callable[[], float] = random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._caller, self._count, self._dice, self._clock = caller, count, dice, clock
        self._writer = tracking.writer if isinstance(tracking, Tracker) else None
        self._waiting: deque[Sample] = deque()
        self._full: set[tuple[str, str, int, int]] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = self._prepared = False

    def follow(self, decided: "Decided", answer: Answer) -> Answer:
        """The answer as it is; a stream that was drawn is heard on its way."""
        try:
            wanted = self._drawn(decided, answer)
        except Exception as error:  # a sample must not stop an answer
            log.error("no sample could be drawn: %s", type(error).__name__)
            return answer
        if wanted is None:
            return answer

        def ended(said: agreement.Spoken) -> None:
            self._put(Sample(decided, wanted, answer.lane, said, time.monotonic()))

        if answer.chunks is not None:
            return replace(answer, chunks=Listening(answer.chunks, ended))
        assert answer.whole is not None
        ended(spoken(answer.whole))
        return answer

    async def close(self) -> None:
        """Drop what waits, and end the call that is under way: it is settled and audited as cut."""
        self._closed = True
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _drawn(self, decided: "Decided", answer: Answer) -> Wanted | None:
        config, decision = decided.edition.config, decided.decision
        if self._writer is None or not (config.sweeps.enabled or config.judge.lane):
            return None
        budget = decided.signals.budget
        scarce = budget.down or budget.share >= config.budgets.downgrade_at
        if scarce or decision.review is not None or (decided.request.n or 1) > 1:
            return None
        if decided.view.opaque or decided.view.embeds:
            return None
        may_judge = pick.judge(decision, answer.lane, config) is not None
        judged = may_judge and self._dice() < config.judge.share
        sweep, below = schedule.running(config.sweeps, self._clock()), None
        # A request that came here by a fallback was not sent here by the table.
        if sweep is not None and len(answer.attempts) == 1:
            below = self._below(decided, answer.lane, sweep)
        return Wanted(below, sweep, judged) if below or judged else None

    def _below(self, decided: "Decided", lane: str, sweep: str) -> str | None:
        """A lower lane, if one was drawn. The chances are kept: who learns from what it says must know them."""
        config = decided.edition.config
        open_to = [
            name
            for name in pick.below(decided.decision, lane, config)
            if _cell(sweep, decided, lane, name) not in self._full
        ]
        each = config.sweeps.share / max(1, len(open_to))
        if decided.decision.choice is not None and self._writer is not None:
            lanes = sum(1 << tier - 1 for tier in {config.lane(name).tier for name in decided.decision.chain})
            tiers = {config.lane(name).tier for name in open_to}
            s1, s2 = (each * (tier in tiers) for tier in (1, 2))
            self._writer.submit(Sampled(decided.decision_id, self._now_ms(), lanes, s1, s2))
        place = int(self._dice() / each)
        return open_to[place] if place < len(open_to) else None

    def _put(self, sample: Sample) -> None:
        if self._closed or len(self._waiting) >= MOST_WAITING:
            return self._drop(sample, "dropped")
        self._waiting.append(sample)
        if self._task is None or self._task.done():
            # In a context of its own: what it does belongs to no request's trace.
            self._task = asyncio.get_running_loop().create_task(self._work(), context=Context())

    def _drop(self, sample: Sample, why: str) -> None:
        for purpose, wanted in ((SWEEPS, sample.wanted.below), (JUDGE, sample.wanted.judged)):
            if wanted:
                self._count(purpose, why)

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(PAUSE_S)
            sample = self._waiting.popleft()
            if time.monotonic() - sample.at > LONGEST_WAIT_S:
                self._drop(sample, "dropped")
                continue
            try:
                await self._judge(sample)
                await self._sweep(sample)
            except OutcomesDown:
                log.warning("a sample is lost: the database of outcomes is away")
            except Exception as error:  # one sample must not end all that follow
                log.error("a shadow call failed: %s", type(error).__name__)

    # The judge.

    async def _judge(self, sample: Sample) -> None:
        if not sample.wanted.judged:
            return
        decided = sample.decided
        score, _ = await self._score(decided, sample.spoken, sample.lane)
        if score is None:
            return
        said = Said(
            decision_id=decided.decision_id,
            at=self._now_ms(),
            success=score >= GOOD_FROM,
            quality=score,
            label=None,
            source=JUDGED_BY,
            correction_minutes=0.0,
            key=decided.visit.key.name,
            reviewer=False,
        )
        await self._write(lambda store: store.say_first(said))

    async def _score(
        self, decided: "Decided", said: agreement.Spoken, whose: str
    ) -> tuple[float | None, int]:
        """The judge's score of an answer of the lane `whose`, and what that cost in micro-dollars."""
        config = decided.edition.config
        name = pick.judge(decided.decision, whose, config)
        if name is None:
            return None, 0
        lane = config.lane(name)
        request = judge.question(config.judge.question, decided.request, said, lane)
        tokens = sum(context.count(str(message.content)) for message in request.messages) + _SPARE_TOKENS
        if tokens + judge.MOST_TOKENS > lane.context:
            self._count(JUDGE, "too_long")
            return None, 0
        if not self._caller.has_room(name, decided):
            self._count(JUDGE, "busy")
            return None, 0
        size = Size(tokens, judge.MOST_TOKENS)
        called = await self._caller.ask(decided, request, name, JUDGED, size, config.judge.timeout_s)
        score = judge.score(called.answer) if called.answer is not None else None
        self._count(JUDGE, called.verdict if score is not None or called.answer is None else "no_score")
        return score, called.cost

    # The tier below.

    async def _sweep(self, sample: Sample) -> None:
        below, sweep, decided = sample.wanted.below, sample.wanted.sweep, sample.decided
        if below is None or sweep is None:
            return
        config = decided.edition.config
        cell = _cell(sweep, decided, sample.lane, below)
        if await self._taken(cell) >= config.sweeps.samples:
            self._full.add(cell)
            self._count(SWEEPS, "enough")
            return
        if not self._caller.has_room(below, decided):
            self._count(SWEEPS, "busy")
            return
        request = decided.request.model_copy(update={"stream": None, "stream_options": None})
        size = decided.bill.size
        called = await self._caller.ask(decided, request, below, SWEEP, size, config.sweeps.timeout_s)
        self._count(SWEEPS, called.verdict)
        result = await self._result(sample, called, cell, below)
        from serve.sweeps import store  # SQLAlchemy is slow to import

        await self._write(lambda outcomes: store.put(outcomes.engine, result))

    async def _result(
        self, sample: Sample, called: Called, cell: tuple[str, str, int, int], below: str
    ) -> Result:
        decided, agreed, score, judge_cost = sample.decided, None, None, 0
        if called.answer is not None:
            said = spoken(called.answer)
            agreed = agreement.agreement(sample.spoken, said)
            score, judge_cost = await self._score(decided, said, below)
        sweep, task, from_tier, to_tier = cell
        return Result(
            id=called.id,
            decision_id=decided.decision_id,
            at=self._now_ms(),
            sweep=sweep,
            task=task,
            data_class=decided.decision.permit.level.label,
            policy_version=decided.decision.policy_version,
            from_lane=sample.lane,
            from_tier=from_tier,
            to_lane=below,
            to_tier=to_tier,
            verdict=called.verdict,
            agreement=agreed,
            score=score,
            good=_good(called, agreed, score, decided.edition.config),
            cost=called.cost,
            judge_cost=judge_cost,
        )

    async def _taken(self, cell: tuple[str, str, int, int]) -> int:
        from serve.sweeps import store  # SQLAlchemy is slow to import

        def count(outcomes: "Store") -> int:
            if not self._prepared:
                store.prepare(outcomes.engine)
                self._prepared = True
            sweep, task, *tiers = cell
            return store.taken(outcomes.engine, sweep, task, (tiers[0], tiers[1]))

        return await self._write(count)

    async def _write(self, work: "Callable[[Store], T]") -> T:
        """In the thread that writes outcomes, after everything before. Raises OutcomesDown."""
        assert self._writer is not None
        done: Future[T] = self._writer.ask(work)
        return await asyncio.wrap_future(done)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _cell(sweep: str, decided: "Decided", lane: str, below: str) -> tuple[str, str, int, int]:
    config = decided.edition.config
    return sweep, decided.signals.task.task, config.lane(lane).tier, config.lane(below).tier


def _good(called: Called, agreed: float | None, score: float | None, config: Config) -> bool | None:
    """Whether the answer would have done; None where the lane gave none for reasons of its own."""
    if called.verdict == "invalid":
        return False
    if called.answer is None or agreed is None:
        return None
    return score >= GOOD_FROM if score is not None else agreed >= config.sweeps.agree_from
