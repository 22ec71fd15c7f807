"""What can go wrong with one lane in one attempt; dispatch decides what follows.

LaneError                         one lane, one attempt; dispatch decides what follows
├── LaneUnavailable ── ReplicaDied · LaneSwitchedOff · LaneUnserving
├── LaneUnpaid ── LaneUnledgered  money forbids it: the lane was not asked
├── LaneUnrecorded                the audit log cannot be written: the lane was not asked
├── LaneOverloaded ── LaneFull (── LaneAbsent · LaneSilent) · LaneRateLimited
├── LaneTimeout · LaneRejected (── LaneTooLong) · LaneMisconfigured (── LaneForbidden)
├── LaneProtocolError · LaneInterrupted
└── AnswerInvalid                 the lane answered, the verdict refused it

Messages hold no prompt text and no secret: they are written to logs.
"""

from typing import TYPE_CHECKING, ClassVar, Self

from serve.errors import PointsmanError

if TYPE_CHECKING:
    from serve.job import Answer
    from serve.wire.openai_answer import ChatCompletion


class LaneError(PointsmanError):
    """One lane failed one attempt. Plain positional arguments, so that it crosses a Ray handle.

    free: such a failure costs nothing, as long as nothing of an answer had come. Where it is not sure it is not free.
    """

    outcome: ClassVar[str] = "failed"
    free: ClassVar[bool] = False

    def __init__(self, lane: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(lane, message, retry_after_s)
        self.lane = lane
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.lane}: {self.message}"


class LaneUnavailable(LaneError):
    """Nobody there: no replica, connection refused, process died, 5xx."""

    outcome = "unavailable"


class ReplicaDied(LaneUnavailable):
    """The replica that had the call died before its first byte; its neighbours may live."""

    outcome = "died"


class LaneSwitchedOff(LaneUnavailable):
    """A person switched it off while the request was on its way; nothing is wrong with the lane."""

    outcome = "off"
    free = True


class LaneUnserving(LaneUnavailable):
    """It did no work: nobody took the connection, or the answer was an error status."""

    free = True


class LaneUnpaid(LaneError):
    """A budget has no room for what the lane may cost: it was not asked."""

    outcome = "budget"
    free = True


class LaneUnledgered(LaneUnpaid):
    """What the lane costs cannot be written down: it was not asked."""

    outcome = "ledger_down"


class LaneUnrecorded(LaneError):
    """That the request may leave the premises cannot be written down: the lane was not asked."""

    outcome = "unrecorded"
    free = True


class LaneTimeout(LaneError):
    """Too slow: first token, gap or whole answer."""

    outcome = "timeout"


class LaneOverloaded(LaneError):
    """Full or rate-limited."""

    outcome = "overloaded"
    free = True


class LaneFull(LaneOverloaded):
    """Nobody took the call in time, or the queue is full: no work was sent."""

    outcome = "full"


class LaneSilent(LaneFull):
    """Nobody took the call although a slot should be free: its replica may be frozen or dead."""

    outcome = "silent"


class LaneAbsent(LaneFull):
    """Nobody was there to take the call: its engine has no replica yet, or no longer."""

    outcome = "absent"


class LaneRateLimited(LaneOverloaded):
    """The provider said 429; the lane is left alone for as long as it asks."""

    outcome = "rate_limited"


class LaneRejected(LaneError):
    """The lane understood and refused (4xx): another lane may still accept."""

    outcome = "rejected"
    free = True


class LaneTooLong(LaneRejected):
    """More tokens than the lane's own model holds, as that model counts them: a longer lane may still accept."""


class LaneMisconfigured(LaneError):
    """The lane refuses us: wrong key, no credit, unknown model, wrong address."""

    outcome = "misconfigured"
    free = True


class LaneForbidden(LaneMisconfigured):
    """403. A key without the right, or a filter that did not like this one request: only a row of them tells."""

    outcome = "forbidden"


class LaneProtocolError(LaneError):
    """The lane answered something that is not its protocol."""

    outcome = "protocol_error"


class LaneInterrupted(LaneError):
    """The stream broke after it had begun."""

    outcome = "interrupted"


class LaneEgressDenied(LaneError):
    """The egress gate refused the outgoing bytes."""

    outcome = "egress_denied"
    free = True


class AnswerInvalid(LaneError):
    """The lane answered, but not what was asked for: invalid tool call, wrong shape, nothing.

    Made in the router's own process. `answer` is what was refused, where it was whole; never logged.
    """

    outcome = "invalid"
    answer: "ChatCompletion | None" = None

    def of(self, answer: "ChatCompletion") -> Self:
        """The error with the answer that was refused."""
        self.answer = answer
        return self


class AnswerUnsure(AnswerInvalid):
    """The lane answered in the right form, but was not sure of it. `kept`: the answer, if nobody is surer."""

    outcome = "unsure"
    kept: "Answer | None" = None
