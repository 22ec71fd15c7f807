"""One request in the audit log: an intent before anything is sent, an outcome when it has ended, each once.

Knows what a decision and an answer are. Whatever leaves waits for its intent; without one it stays on the premises.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from serve.audit.port import NOT_WANTED, Audit, Written
from serve.audit.records import Draft, Intent, Outcome, Place, Refused, Tried, code
from serve.audit.revisions import answered
from serve.config import ON_PREMISES, Config
from serve.decision import Decision, Reason
from serve.errors import AuditUnavailable, HttpError
from serve.job import Answer, ChunkStream
from serve.lane_errors import LaneInterrupted, LaneUnrecorded
from serve.signals.readings import Sensitivity, Signals
from serve.trail import Ended, Trail
from serve.wire.openai_answer import ChatChunk

if TYPE_CHECKING:
    from serve.router import Decided

NARROWED = "audit_unavailable"
_ANSWERED = frozenset({"ok", "repaired", "reasked", "asked"})
_NOTHING_SENT = frozenset({"egress_denied", "off", LaneUnrecorded.outcome})
"""Ends of an attempt that are told before a byte is sent."""


class Entry:
    """What the log gets of one request."""

    def __init__(
        self, audit: Audit, decided: "Decided", ended: Callable[[Ended], None] = lambda _: None
    ) -> None:
        self.trail = Trail()
        self.intent: Written = NOT_WANTED
        self._audit, self._decided, self._ended = audit, decided, ended
        self._answered_at: float | None = None
        self._decision = decided.decision
        self._closed = False

    async def begin(self) -> Decision:
        """The decision, or one that stays on the premises where its intent cannot be written.

        Waits for the disk only when the first lane is off the premises; dispatch waits for `intent` before it asks
        a later one. Raises AuditUnavailable when nothing of the decision is left.
        """
        for rule in sorted({found.rule for found in self._decided.signals.sensitivity.set_aside}):
            told = {"key": self._decided.visit.key.id, "rule": code(rule)}
            self._audit.note("allowance_used", self._decided.decision_id, told)
        draft = _intent(self._decided)
        config = self._decided.edition.config
        chain = self._decision.chain
        if all(_at_home(name, config) for name in chain):
            self._audit.submit(draft)
            return self._decision
        self.intent = self._audit.write(draft)
        fault = self.intent.known if _at_home(chain[0], config) else await self.intent.fault()
        if fault is not None:
            self._decision = _kept_home(self._decision, fault, config)
        return self._decision

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Write the outcome of whatever ends within the block by an exception: an error, or the client's leaving."""
        try:
            yield
        except HttpError as error:
            if self._is_narrowed or isinstance(error, AuditUnavailable):
                error.headers = error.headers | {"x-pointsman-reason": NARROWED}
            self._end(error.code, error.tried)
            raise
        except Exception:
            self._end("internal_error")
            raise
        except BaseException:
            self._end("left")
            raise

    def follow(self, answer: Answer) -> Answer:
        """The answer; its outcome is written now, or when its stream has ended, broke off, or lost its client."""
        if self._is_narrowed or any(a.outcome == LaneUnrecorded.outcome for a in answer.attempts):
            answer = replace(answer, reason=NARROWED)
        self._answered_at = time.monotonic()
        tried = tuple((a.lane, a.outcome, a.seconds) for a in answer.attempts)
        if answer.chunks is None:
            self._end("ok", tried, answer.lane)
            return answer
        return replace(
            answer, chunks=_Watched(answer.chunks, lambda status: self._end(status, tried, answer.lane))
        )

    @property
    def _is_narrowed(self) -> bool:
        return self._decision is not self._decided.decision

    def _end(
        self, status: str, tried: tuple[tuple[str, str, float], ...] = (), lane: str | None = None
    ) -> None:
        if self._closed:
            return
        self._closed = True
        config, trail = self._decided.edition.config, self.trail
        # Nobody saw the end of a lane that was asked and is not among the attempts.
        seen = {name for name, _, _ in tried}
        tried += tuple((name, "asked", 0.0) for name in dict.fromkeys(trail.asked) if name not in seen)
        usage = trail.usage
        outcome = Outcome(
            status=code(status),
            cloud_egress=any(
                not _at_home(name, config) and name in trail.asked and end not in _NOTHING_SENT
                for name, end, _ in tried
            ),
            tried=[_tried(attempt, config) for attempt in tried],
            answered=answered(lane, config) if lane else None,
            reasons=[code(reason.code) for reason in self._decision.reasons],
            fallbacks=[code(end) for name, end, _ in tried if end not in _ANSWERED],
            escalations=[code(reason) for reason in trail.escalations],
            tokens_in=usage.prompt_tokens if usage else None,
            tokens_out=usage.given if usage else None,
            cost_microusd=self._decided.bill.cost,
            latency_ms=_ms(time.monotonic() - self._decided.started),
            review=code(held.code) if (held := self._decision.review) else None,
        )
        self._audit.submit(Draft.of(outcome, self._decided.decision_id))
        self._ended(
            Ended(
                self._decided, self._decision, status, tried, lane, trail, self._answered_at, time.monotonic()
            )
        )


def refusal(
    decision_id: str, key: str, level: Sensitivity, signals: Signals, version: str, error: HttpError
) -> Draft:
    """The record of a request that the policy refused. `version`: of the policy."""
    sheet = Refused(
        data_class=level.label,
        rules=_rules(signals),
        status=code(error.code),
        policy_version=version,
        input_tokens=signals.context.input_tokens,
    )
    return Draft.of(sheet, decision_id, key)


class _Watched:
    """A stream that tells once how it ended."""

    def __init__(self, chunks: ChunkStream, ended: Callable[[str], None]) -> None:
        self._chunks, self._ended = chunks, ended

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> ChatChunk:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._ended("ok")
            raise
        except LaneInterrupted:
            self._ended("upstream_interrupted")
            raise
        except Exception:
            self._ended("internal_error")
            raise

    async def aclose(self) -> None:
        """End the stream; one that has not ended by itself has lost its client."""
        try:
            await self._chunks.aclose()
        finally:
            self._ended("left")


def _intent(decided: "Decided") -> Draft:
    decision, config = decided.decision, decided.edition.config
    sheet = Intent(
        data_class=decision.permit.level.label,
        rules=_rules(decided.signals),
        lanes=[Place(lane=code(name), location=config.lane(name).location) for name in decision.chain],
        off_premises=not all(_at_home(name, config) for name in decision.chain),
        reasons=[code(reason.code) for reason in decision.reasons],
        policy_version=decision.policy_version,
        input_tokens=decided.signals.context.input_tokens,
    )
    return Draft.of(sheet, decided.decision_id, decided.visit.key.id)


def _rules(signals: Signals) -> list[str]:
    return sorted({code(f"{found.detector}:{found.rule}") for found in signals.sensitivity.findings})


def _kept_home(decision: Decision, fault: str, config: Config) -> Decision:
    chain = tuple(name for name in decision.chain if _at_home(name, config))
    if not chain:
        raise AuditUnavailable(fault)
    text = f"The audit log cannot be written ({fault}), so nothing leaves the premises."
    return replace(
        decision,
        chain=chain,
        permit=decision.permit.narrowed(ON_PREMISES),
        reasons=(Reason(NARROWED, text), *decision.reasons),
    )


def _at_home(name: str, config: Config) -> bool:
    return config.lane(name).location in ON_PREMISES


def _tried(attempt: tuple[str, str, float], config: Config) -> Tried:
    name, outcome, seconds = attempt
    return Tried(lane=code(name), location=config.lane(name).location, outcome=code(outcome), ms=_ms(seconds))


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
