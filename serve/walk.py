"""How far one request has come along its chain: who is left, who was asked, how it went.

Keeps the record. Does not ask anybody.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from serve.job import Answer, Attempt, Job
from serve.lane_errors import AnswerInvalid, AnswerUnsure, LaneError, LaneFull
from serve.retries import rule

RECHECK_S = 0.1
"""The first pause before a full lane is asked again, and the least that a `Retry-After` is taken for."""

SLOWEST_RECHECK_S = 1.0

PATIENT_ROUNDS = 3
"""How often one request obeys a `Retry-After`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One lane asked once: it answered, failed, or was cancelled because another lane was faster."""

    lane: str
    seconds: float
    answer: Answer | None = None
    error: LaneError | None = None

    @property
    def attempt(self) -> Attempt:
        """The entry in the trail."""
        if self.error is not None:
            return Attempt(self.lane, self.error.outcome, self.seconds, self.error.message)
        if self.answer is not None:
            return replace(self.answer.attempts[-1], seconds=self.seconds)
        return Attempt(self.lane, "cancelled", self.seconds, "another lane was faster")

    def named(self, outcome: str) -> "Ended":
        """The same with another word for a usable answer."""
        if self.answer is None:
            return self
        attempt = replace(self.answer.attempts[-1], outcome=outcome)
        return replace(self, answer=replace(self.answer, attempts=(attempt,)))


@dataclass(slots=True)
class Walk:
    """One request on its way.

    waits_until   a time of the event loop's clock, set when nobody else is left, until a lane takes the call
    constrained   by lane: a question along a grammar that nobody there has taken yet
    """

    job: Job
    todo: deque[str]
    attempts: list[Attempt] = field(default_factory=list)
    failures: dict[str, LaneError] = field(default_factory=dict)
    just_failed: dict[str, LaneError] = field(default_factory=dict)
    asked_twice: set[str] = field(default_factory=set)
    put_off: set[str] = field(default_factory=set)
    spilled: list[str] = field(default_factory=list)
    rounds: int = 0
    waits_until: float | None = None
    over_budget: bool = False
    refused: AnswerInvalid | None = None  # the last answer that was no use
    reasked: bool = False
    constrained: dict[str, Job] = field(default_factory=dict)
    _passing_on: bool = False

    def note(self, ended: list[Ended]) -> Answer | None:
        """Write down how the lanes just asked ended; the answer with its whole trail, if one answered."""
        self.just_failed = {leg.lane: leg.error for leg in ended if leg.error is not None}
        if any(not isinstance(leg.error, LaneFull) for leg in ended):
            # The time that a lane worked is no waiting: a further question may wait as long as the first.
            self.waits_until = None
        # A lane that fails again goes to the end: the last failure is the one that counts.
        self.failures = {
            k: v for k, v in self.failures.items() if k not in self.just_failed
        } | self.just_failed
        # Who answered stands last in the trail, also when it was asked first.
        for leg in sorted(ended, key=lambda leg: leg.answer is not None):
            self._add(leg.attempt)
        answer = next((leg.answer for leg in ended if leg.answer is not None), None)
        for error in self.just_failed.values():
            if isinstance(error, AnswerInvalid):
                self.refused, self._passing_on = error, True
        return answer and replace(answer, attempts=tuple(self.attempts))

    def kept(self) -> Answer | None:
        """The answer that a lane was not sure of, where nobody gave a better one."""
        answers = [error.kept for error in self.failures.values() if isinstance(error, AnswerUnsure)][::-1]
        best = next((answer for answer in answers if answer is not None), None)
        return best and replace(best, attempts=tuple(self.attempts))

    def escalate(self) -> None:
        """Another lane is about to be asked: write down why, if it is because of an answer."""
        if self.refused is not None and self._passing_on:
            self.job.trail.escalations.append(self.refused.outcome)
            self._passing_on = False

    def most_patient(self) -> tuple[str, float, LaneError] | None:
        """The lane that is worth asking again soonest, after how many seconds, and why it is not now."""
        waits = [(name, _pause(e, self.rounds), e) for name, e in self.failures.items()]
        some = [(name, pause, e) for name, pause, e in waits if pause is not None]
        return min(some, key=lambda item: item[1], default=None)

    def _add(self, attempt: Attempt) -> None:
        """Asking the same full lane again and again is one long attempt."""
        last = self.attempts[-1] if self.attempts else None
        full = (attempt.lane, LaneFull.outcome)
        if last is not None and (last.lane, last.outcome) == (attempt.lane, attempt.outcome) == full:
            attempt = replace(attempt, seconds=last.seconds + attempt.seconds)
            self.attempts.pop()
        self.attempts.append(attempt)


def _pause(error: LaneError, rounds: int) -> float | None:
    """Seconds until the lane is worth asking again after so many rounds, None for never."""
    if isinstance(error, LaneFull):
        return min(SLOWEST_RECHECK_S, RECHECK_S * (1 << min(rounds, 10)))
    if not rule(error).waits or error.retry_after_s is None or rounds >= PATIENT_ROUNDS:
        return None
    return max(RECHECK_S, error.retry_after_s)
