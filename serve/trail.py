"""What one request has done so far, for whoever must write it down however it ends."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serve.wire.openai_answer import Usage

if TYPE_CHECKING:
    from serve.decision import Decision
    from serve.router import Decided


@dataclass(slots=True)
class Trail:
    """Filled in along the way: lanes that were asked, and tokens as reported.

    escalations    codes of why another lane was asked although one had answered
    """

    asked: list[str] = field(default_factory=list)
    usage: Usage | None = None
    escalations: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ended:
    """One request that is over.

    decision     what was walked: narrower than `decided.decision` where nothing could be recorded
    status       `ok`, `left`, or the code of the error
    tried        lane, outcome and seconds of each attempt; `asked` where nobody saw its end
    answered_at  when its answer began, and `at` when it ended: seconds of `time.monotonic`
    """

    decided: "Decided"
    decision: "Decision"
    status: str
    tried: tuple[tuple[str, str, float], ...]
    lane: str | None
    trail: Trail
    answered_at: float | None
    at: float
