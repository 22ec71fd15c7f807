"""From lane to lane: walk the decision's chain until one gives a usable answer, within one deadline.

The only retry loop. Knows what follows a failure and who waits for whom; never widens a decision.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from serve import reask
from serve.attempts import Asker, body_of
from serve.config import ON_PREMISES, Config
from serve.errors import (
    AuditUnavailable,
    BudgetExceeded,
    DeadlineExceeded,
    EgressDenied,
    HttpError,
    LanesFailed,
    LedgerUnavailable,
    NoLaneAvailable,
    RequestRejected,
)
from serve.hedge import Leg, race
from serve.job import Answer, Attempt, Job, now
from serve.lane_errors import (
    AnswerInvalid,
    LaneEgressDenied,
    LaneError,
    LaneFull,
    LaneOverloaded,
    LaneRejected,
    LaneTimeout,
    LaneTooLong,
    LaneUnavailable,
    LaneUnledgered,
    LaneUnpaid,
    LaneUnrecorded,
)
from serve.lanes.base import LanePort
from serve.lanes.load import LaneLoad
from serve.retries import RetryBudget, Then, rule
from serve.tracing import spans
from serve.walk import RECHECK_S, Ended, Walk

__all__ = ["Answer", "Attempt", "Dispatcher", "Job", "body_of"]

log = logging.getLogger("pointsman.dispatch")

LONGEST_RETRY_AFTER_S = 3600
REASKED = "reasked"


class Dispatcher:
    """Walks chains for one router process. The load judges lanes by the settings of the newest one."""

    def __init__(self, lanes: Mapping[str, LanePort], load: LaneLoad, config: Config) -> None:
        self._asker = Asker(lanes, load, config)
        self._load, self._config, self._settings = load, config, config.dispatch
        self._budget = RetryBudget(config.dispatch.retries, load.clock)
        self._waiting = 0
        load.follow(config.dispatch)

    async def run(self, job: Job) -> Answer:
        """The first usable answer along the chain.

        Raises NoLaneAvailable, LanesFailed, DeadlineExceeded, AuditUnavailable, EgressDenied or RequestRejected.
        """
        walk = Walk(job, deque(job.decision.chain))
        self._budget.request()
        if job.decision.spilled_from is not None:
            self._spill(walk, job.decision.spilled_from)
        while walk.todo and now() < job.deadline:
            name = walk.todo.popleft()
            if self._is_put_off(walk, name):
                continue
            walk.escalate()
            answer = walk.note(await self._ask(walk, name)) or await self._reask(walk)
            if answer is not None:
                return answer
            if not await self._goes_on(walk):
                break
        if (unsure := walk.kept()) is not None:
            return unsure
        error = self._give_up(walk)
        error.tried = tuple((a.lane, a.outcome, a.seconds) for a in walk.attempts)
        raise error

    def _is_put_off(self, walk: Walk, name: str) -> bool:
        """One request at a time finds out whether an ejected lane is well again; the others ask it last."""
        if not self._load.on_trial(name) or not walk.todo or name in walk.put_off:
            return False
        walk.put_off.add(name)
        walk.todo.append(name)
        return True

    async def _ask(self, walk: Walk, name: str) -> list[Ended]:
        """How one lane ended; two of them when the first was late and the next was started beside it."""
        after_s, begun, spares = self._settings.hedge_after_s, now(), []
        if after_s is None or not walk.job.streams:
            return [await self._leg(walk, name)]

        def spare() -> Leg[Ended] | None:
            spares.extend(self._spare(walk))
            return self._leg(walk, spares[0]) if spares else None

        legs = await race(self._leg(walk, name), after_s, spare, _answered, _close)
        pairs = zip([name, *spares], legs, strict=False)
        return [leg or Ended(lane, now() - begun) for lane, leg in pairs]

    async def _reask(self, walk: Walk) -> Answer | None:
        """Once per request: the same again, in a grammar that leaves no way to miss the shape."""
        refused = next(((n, e) for n, e in walk.just_failed.items() if type(e) is AnswerInvalid), None)
        if refused is None or walk.reasked or now() >= walk.job.deadline:
            return None
        second = reask.second(walk.job, *refused, self._config, self._load, walk.todo)
        if second is None:
            return None
        walk.reasked = True
        walk.constrained[second.lane] = second.job
        ended = await self._leg(walk, second.lane)
        if isinstance(ended.error, AnswerInvalid) and second.lane in walk.todo:
            walk.todo.remove(second.lane)
        return walk.note([ended])

    def _spare(self, walk: Walk) -> list[str]:
        """The lane that may start beside a late one, if there is one and the budget has room."""
        ready = [name for name in walk.todo if self._load.is_ready(name)]
        if not ready or not self._budget.spend():
            return []
        walk.todo.remove(ready[0])
        return ready[:1]

    async def _leg(self, walk: Walk, name: str) -> Ended:
        """One lane asked: the constrained question it still owes an answer to, or the request with what was tried."""
        if (job := walk.constrained.get(name)) is None:
            return await self._asked(walk, name)
        ended = await self._asked(walk, name, job)
        if not isinstance(ended.error, LaneFull):
            del walk.constrained[name]
        return ended.named(REASKED)

    async def _asked(self, walk: Walk, name: str, job: Job | None = None) -> Ended:
        started = now()
        with self._load.trial(name) as on_trial, spans.stage("attempt", lane=name) as stage:
            patience_s = self._patience(walk, name, on_trial)
            try:
                if job is not None:
                    answer = await self._asker.ask(job, name, patience_s)
                else:
                    answer = await self._ask_told(walk, name, patience_s)
            except LaneError as error:
                stage.note(outcome=error.outcome)
                return Ended(name, now() - started, error=error)
            stage.note(outcome=answer.attempts[0].outcome)
        return Ended(name, now() - started, answer=answer)

    async def _ask_told(self, walk: Walk, name: str, patience_s: float) -> Answer:
        job = self._told(walk, name)
        try:
            return await self._asker.ask(job, name, patience_s)
        except (LaneRejected, LaneEgressDenied):
            if job is walk.job:
                raise
            # What was added may be what made it too long, or what may not leave.
            return await self._asker.ask(walk.job, name, patience_s)

    def _told(self, walk: Walk, name: str) -> Job:
        """The request, with what was tried and why it was no use where this lane may know."""
        told = self._settings.tell_next
        at_home = self._config.lane(name).location in ON_PREMISES
        if walk.refused is None or told == "none" or (told == "on_premises" and not at_home):
            return walk.job
        return reask.told(walk.job, walk.refused)

    def _patience(self, walk: Walk, name: str, on_trial: bool) -> float:
        """Seconds to wait until a lane takes the call: little while somebody else may take it."""
        settings = self._settings
        if not self._elsewhere(walk, name):
            return self._last_wait(walk) - now()
        in_queue_s = settings.queue_wait_s if walk.job.request.stream else settings.queue_wait_unary_s
        if on_trial or self._load.absent(name):
            return settings.down_wait_s
        # Where a slot should be free nobody waits in a queue: a call that is taken late is one to a cold process.
        return max(in_queue_s, settings.down_wait_s) if self._load.has_room(name) else in_queue_s

    def _elsewhere(self, walk: Walk, name: str) -> bool:
        """Whether a lane is left that does not wait in the same queue."""
        return any(not self._load.together(name, other) for other in walk.todo)

    def _last_wait(self, walk: Walk) -> float:
        """When a request that has nobody else left gives up waiting to be taken."""
        if walk.waits_until is None:
            walk.waits_until = min(walk.job.deadline, now() + self._settings.last_wait_s)
        return walk.waits_until

    async def _goes_on(self, walk: Walk) -> bool:
        """Settle who is asked next, by the table of retries. False: nobody."""
        for name, error in walk.just_failed.items():
            then = rule(error).then
            if then is Then.END:
                return False
            if then is Then.SAME and self._may_ask_again(walk, name):
                walk.asked_twice.add(name)
                walk.todo.appendleft(name)
            if isinstance(error, LaneFull):
                self._spill(walk, name)
                walk.todo = deque(x for x in walk.todo if not self._load.together(name, x))
        if not walk.todo:
            return await self._wait(walk)
        return not any(rule(error).costs for error in walk.just_failed.values()) or self._spend(walk)

    def _may_ask_again(self, walk: Walk, name: str) -> bool:
        others = self._load.replicas(name) > 1 or not self._elsewhere(walk, name)
        return others and name not in walk.asked_twice

    def _spend(self, walk: Walk) -> bool:
        walk.over_budget = not self._budget.spend()
        return not walk.over_budget

    def _spill(self, walk: Walk, name: str) -> None:
        """Count a request that goes past a lane, once per engine."""
        if not any(self._load.together(name, other) for other in walk.spilled):
            walk.spilled.append(name)
            self._load.spill(name)

    async def _wait(self, walk: Walk) -> bool:
        """Nobody is left: wait for a lane that is full or says for how long. False when waiting is no use."""
        patient = walk.most_patient()
        if patient is None or self._waiting >= self._settings.max_waiting:
            return False
        name, pause_s, error = patient
        full = isinstance(error, LaneFull)
        give_up = self._last_wait(walk) if full else now() + self._settings.last_wait_s
        if now() + pause_s >= min(give_up, walk.job.deadline):
            return False
        if rule(error).costs and not self._spend(walk):
            return False
        walk.rounds += 1
        with self._counted():
            await asyncio.sleep(pause_s)
            while self._load.brimful(name) and now() < give_up:  # noqa: ASYNC110 - nothing could signal it
                await asyncio.sleep(RECHECK_S)
        walk.todo.append(name)
        return True

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _give_up(self, walk: Walk) -> HttpError:
        trail = "; ".join(f"{a.lane}: {a.detail or a.outcome}" for a in walk.attempts)
        trail = trail or "no time was left to try"
        if now() >= walk.job.deadline:
            return DeadlineExceeded(f"No lane answered within the deadline ({trail})")
        if walk.over_budget:
            trail += "; nobody else was asked, because too many requests are being retried"
        failures = list(walk.failures.values())
        if any(isinstance(failure, LaneUnrecorded) for failure in failures):
            return AuditUnavailable(trail)
        if failures and all(isinstance(failure, LaneUnpaid) for failure in failures):
            down = any(isinstance(failure, LaneUnledgered) for failure in failures)
            words = f"No lane that costs nothing may answer this request ({trail})"
            return LedgerUnavailable(words) if down else BudgetExceeded(words)
        waits = [f.retry_after_s for f in failures if f.retry_after_s] or [self._settings.cooldown_s]
        retry_after_s = max(1, math.ceil(min(*waits, LONGEST_RETRY_AFTER_S)))
        passing = LaneUnavailable | LaneOverloaded | LaneTimeout | LaneUnpaid
        if all(isinstance(failure, passing) for failure in failures):
            return NoLaneAvailable(f"No permitted lane can answer now ({trail})", retry_after_s=retry_after_s)
        if all(isinstance(failure, LaneTooLong) for failure in failures):
            words = f"The request is too long for every lane it may use ({trail})"
            return RequestRejected(words, code="context_length_exceeded")
        if all(isinstance(failure, LaneRejected) for failure in failures):
            return RequestRejected(f"The request was refused ({trail})")
        if all(isinstance(failure, LaneEgressDenied) for failure in failures):
            return EgressDenied(f"The request may not leave ({trail})")
        error = LanesFailed(f"Every permitted lane failed ({trail})", code=_code(failures))
        error.retry_after_s = retry_after_s if walk.over_budget else None
        return error


def _answered(leg: Ended) -> bool:
    return leg.answer is not None


async def _close(leg: Ended) -> None:
    close = getattr(leg.answer.chunks if leg.answer else None, "aclose", None)
    if close is not None:
        await close()


def _code(failures: list[LaneError]) -> str:
    return "output_invalid" if failures and isinstance(failures[-1], AnswerInvalid) else LanesFailed.code
