"""What a decision is: the lanes in order, the reasons for that, and the lanes that may not answer.

Words only. Does not decide: `serve.policy` does.
"""

from dataclasses import dataclass
from enum import IntEnum

from serve.egress import Permit
from serve.routing_table import Choice


class LaneState(IntEnum):
    """How free a lane is, best first."""

    READY = 0
    FULL = 1
    DOWN = 2
    OFF = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code and the sentence that explains it."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A lane that may not answer, and why: `class`, `key`, `context`, `off`, `budget` or `cannot:<capability>`."""

    lane: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one request may go, in order, and why. Made once; dispatch only walks it."""

    chain: tuple[str, ...]
    permit: Permit
    reasons: tuple[Reason, ...]
    excluded: tuple[Exclusion, ...]
    policy_version: str
    spilled_from: str | None = None  # the lane that would have been first, were it not full or down
    choice: Choice | None = None  # of the routing table, where nothing else said which lanes come first
    review: Reason | None = None  # why a person must approve the answer before anybody gets it
    rule: str | None = None  # the rule that ordered the lanes, None where the client's wish did

    @property
    def reason(self) -> str:
        """The code of the reason that weighed most."""
        return self.reasons[0].code
