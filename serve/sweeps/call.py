"""One shadow call: a lane asked once in the background, reserved for, audited and judged by the validators.

No retry and no fallback, and the lane's health does not hear of it: a sweep that a provider throttles must not send
clients elsewhere.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from serve import verdict
from serve.attempts import body_of
from serve.audit.entry import Entry
from serve.audit.port import Audit
from serve.decision import LaneState, Reason
from serve.errors import HttpError, LanesFailed
from serve.job import Answer, Attempt
from serve.keys.rights import Allowance, Key, Rights
from serve.lane_errors import AnswerInvalid, LaneError, LaneProtocolError, LaneTimeout
from serve.lanes.base import LaneCall, LanePort
from serve.lanes.load import LaneLoad
from serve.ledger.bill import Bill, Watch
from serve.ledger.desk import Desk
from serve.ledger.estimate import Size
from serve.ledger.terms import Payer
from serve.sweeps import pick
from serve.tracing import spans
from serve.trail import Trail
from serve.wire.openai_answer import ChatCompletion, completion
from serve.wire.openai_chat import ChatRequest

if TYPE_CHECKING:
    from serve.router import Decided


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why somebody is asked. `account`: of the ledger; `payer`: its name there."""

    account: str
    payer: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Called:
    """How it went: `valid` or `repaired` with an answer; else why there is none. `cost` in micro-dollars."""

    id: str
    verdict: str
    answer: ChatCompletion | None
    cost: int


class Caller:
    """Makes shadow calls for one router process."""

    def __init__(
        self, lanes: Mapping[str, LanePort], load: LaneLoad, audit: Audit, desk: Desk, spent: Watch
    ) -> None:
        self._lanes, self._load, self._audit, self._desk, self._spent = lanes, load, audit, desk, spent

    def has_room(self, name: str, decided: "Decided") -> bool:
        """Whether nobody would notice one more call there."""
        lane = decided.edition.config.lane(name)
        ready = self._load.state(lane, interactive=True) is LaneState.READY
        return lane.enabled and ready and self._load.calm(name)

    async def ask(
        self,
        decided: "Decided",
        request: ChatRequest,
        lane: str,
        purpose: Purpose,
        size: Size,
        within_s: float,
    ) -> Called:
        """Ask `lane` what `request` says, under the permit of `decided`. Raises nothing that a lane can cause."""
        shadow = self._shadow(decided, request, lane, purpose, size)
        entry = Entry(self._audit, shadow)
        try:
            about = {"purpose": purpose.account, "decision_id": shadow.decision_id}
            with spans.stage("shadow", lane=lane, **about), entry.watched():
                await entry.begin()
                answer = entry.follow(await self._answered(shadow, lane, entry.trail, within_s))
        except HttpError as error:
            ended = error.tried[0][1] if error.tried else error.code
            return Called(shadow.decision_id, ended, None, shadow.bill.cost)
        return Called(shadow.decision_id, answer.attempts[0].outcome, answer.whole, shadow.bill.cost)

    def _shadow(
        self, decided: "Decided", request: ChatRequest, lane: str, purpose: Purpose, size: Size
    ) -> "Decided":
        """A decision of its own: for one lane, paid from another account, in the name of the same key."""
        edition, decision_id = decided.edition, f"dec_{uuid.uuid4().hex}"
        decision = replace(
            decided.decision,
            chain=(lane,),
            permit=pick.permit(decided.decision, lane, edition.config),
            reasons=(purpose.reason,),
            spilled_from=None,
            review=None,
        )
        key = Key("", purpose.payer, "", Rights(), Allowance())
        bill = Bill(self._desk, edition.terms, Payer(key, apart=purpose.account), size, decision_id)
        bill.watch = self._spent
        return replace(
            decided,
            decision_id=decision_id,
            request=request,
            decision=decision,
            started=time.monotonic(),
            bill=bill,
            scout_s=None,
            span=spans.NOTHING,
        )

    async def _answered(self, shadow: "Decided", lane: str, trail: Trail, within_s: float) -> Answer:
        began = time.monotonic()
        try:
            whole = await self._whole(shadow, lane, trail, within_s)
            judged = verdict.judge(shadow.request, whole)
            if judged.outcome == "invalid":
                raise AnswerInvalid(lane, judged.fault)
        except LaneError as error:
            failed = LanesFailed(f"{lane}: {error.message}")
            failed.tried = ((lane, error.outcome, time.monotonic() - began),)
            raise failed from None
        attempt = Attempt(lane, judged.outcome, time.monotonic() - began)
        return Answer(lane, (attempt,), whole=judged.answer)

    async def _whole(self, shadow: "Decided", lane: str, trail: Trail, within_s: float) -> ChatCompletion:
        """What the lane says. Raises LaneError."""
        call = LaneCall(lane, body_of(shadow.request), False, shadow.decision.permit, shadow.decision_id)
        documents: list[str] = []
        with await shadow.bill.begin(lane) as charge:
            try:
                with self._load.call(lane) as place:
                    async with asyncio.timeout(within_s), aclosing(self._lanes[lane].answer(call)) as pieces:  # type: ignore[type-var]
                        trail.asked.append(lane)
                        async for piece in pieces:
                            if place.taken_at is None:
                                place.take()
                                charge.taken()
                            documents += piece
            except TimeoutError:
                raise LaneTimeout(lane, f"nothing within {within_s:g} s") from None
            if not documents:
                raise LaneProtocolError(lane, "it answered nothing")
            whole = completion(lane, documents[0])
            charge.hear(whole)
        trail.usage = whole.usage
        return whole
