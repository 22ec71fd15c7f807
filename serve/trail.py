"""What one request has done so far, for whoever must write it down however it ends."""

from dataclasses import dataclass, field

from serve.wire.openai_answer import Usage


@dataclass(slots=True)
class Trail:
    """Filled in along the way: lanes that were asked, tokens as reported, and what other parts know of it.

    cost_microusd  what it cost, None while nobody has told
    escalations    codes of why another lane was asked although one had answered
    review         id of the human review it waits for
    """

    asked: list[str] = field(default_factory=list)
    usage: Usage | None = None
    cost_microusd: int | None = None
    escalations: list[str] = field(default_factory=list)
    review: str | None = None
