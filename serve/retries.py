"""What follows when a lane fails: one table, and a budget for all further attempts of one router.

Knows kinds of failures. Does not know lanes, and asks nobody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from serve.config import RetryConfig
from serve.lane_errors import (
    AnswerInvalid,
    LaneEgressDenied,
    LaneError,
    LaneForbidden,
    LaneFull,
    LaneInterrupted,
    LaneMisconfigured,
    LaneOverloaded,
    LaneProtocolError,
    LaneRateLimited,
    LaneRejected,
    LaneSilent,
    LaneSwitchedOff,
    LaneTimeout,
    LaneUnavailable,
    LaneUnpaid,
    LaneUnrecorded,
    ReplicaDied,
)
from serve.window import Window


class Then(Enum):
    """Who is asked next."""

    NEXT = "the next lane of the chain"
    SAME = "the same lane once more where somebody else can answer there, then the next"
    END = "nobody: the client has seen a part of the answer"


class Blame(Enum):
    """What the failure says about the lane's health."""

    NONE = "nothing"
    ALIVE = "it is well: it answered, though not as wanted"
    COUNTS = "one failure towards ejection"
    RESTS = "it asks to be left alone for as long as it says"
    EJECTS = "it can answer nobody: ejected at once"


@dataclass(frozen=True, slots=True)
class Rule:
    """`costs`: the next attempt is a retry and needs a place in the budget.

    `waits`: when nobody else is left and the lane says how long, it is worth asking it again.
    """

    then: Then
    costs: bool
    blame: Blame
    waits: bool = False


# A call that was never taken has sent no work, so going on is overflow and free. An answer that was refused by
# the verdict, or a request refused by the lane, is no sign of a fault that more requests would make worse.
TABLE: tuple[tuple[type[LaneError], Rule], ...] = (
    # the first that fits, so the most specific stands first
    (LaneInterrupted, Rule(Then.END, costs=False, blame=Blame.COUNTS)),
    (LaneSilent, Rule(Then.NEXT, costs=False, blame=Blame.COUNTS, waits=True)),
    (LaneFull, Rule(Then.NEXT, costs=False, blame=Blame.NONE, waits=True)),
    (LaneEgressDenied, Rule(Then.NEXT, costs=False, blame=Blame.NONE)),
    (LaneRejected, Rule(Then.NEXT, costs=False, blame=Blame.ALIVE)),
    (AnswerInvalid, Rule(Then.NEXT, costs=False, blame=Blame.ALIVE)),
    (LaneSwitchedOff, Rule(Then.NEXT, costs=False, blame=Blame.NONE)),
    (LaneUnpaid, Rule(Then.NEXT, costs=False, blame=Blame.NONE)),
    (LaneUnrecorded, Rule(Then.NEXT, costs=False, blame=Blame.NONE)),
    (ReplicaDied, Rule(Then.SAME, costs=True, blame=Blame.COUNTS)),
    (LaneUnavailable, Rule(Then.NEXT, costs=True, blame=Blame.COUNTS)),
    (LaneTimeout, Rule(Then.NEXT, costs=True, blame=Blame.COUNTS)),
    (LaneRateLimited, Rule(Then.NEXT, costs=True, blame=Blame.RESTS, waits=True)),
    (LaneOverloaded, Rule(Then.NEXT, costs=True, blame=Blame.COUNTS, waits=True)),
    (LaneForbidden, Rule(Then.NEXT, costs=False, blame=Blame.COUNTS)),
    (LaneMisconfigured, Rule(Then.NEXT, costs=True, blame=Blame.EJECTS)),
    (LaneProtocolError, Rule(Then.NEXT, costs=True, blame=Blame.COUNTS)),
    (LaneError, Rule(Then.NEXT, costs=True, blame=Blame.COUNTS)),
)


def rule(error: LaneError) -> Rule:
    """The row of the table for `error`."""
    return next(row for kind, row in TABLE if isinstance(error, kind))


@dataclass(slots=True)
class RetryBudget:
    """At most `share` more attempts than requests over a sliding window, and `floor` of them in any case.

    Without it every request of a bad minute becomes one more request for each lane in its chain.
    """

    config: RetryConfig
    clock: Callable[[], float] = time.monotonic
    _requests: Window = field(init=False)
    _retries: Window = field(init=False)

    def __post_init__(self) -> None:
        self._requests = Window(self.config.window_s, self.clock)
        self._retries = Window(self.config.window_s, self.clock)

    def request(self) -> None:
        """A request begins."""
        self._requests.add()

    def spend(self) -> bool:
        """Take one retry; False when none is left."""
        allowed = self.config.floor + self.config.share * self._requests.count()
        if self._retries.count() + 1 > allowed:
            return False
        self._retries.add()
        return True
