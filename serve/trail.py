"""What one request has done so far, for whoever must write it down however it ends."""

from dataclasses import dataclass, field

from serve.wire.openai_answer import Usage


@dataclass(slots=True)
class Trail:
    """Filled in along the way: lanes that were asked, and tokens as reported.

    escalations    codes of why another lane was asked although one had answered
    """

    asked: list[str] = field(default_factory=list)
    usage: Usage | None = None
    escalations: list[str] = field(default_factory=list)
