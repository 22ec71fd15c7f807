"""One review: an answer that waits for a person, and what became of it. Knows no database and no HTTP."""

from dataclasses import dataclass
from typing import Literal

from serve.keys.rights import ANONYMOUS, Key

Status = Literal["pending", "approved", "rejected", "expired"]
Verdict = Literal["approved", "rejected"]
STATUSES: tuple[Status, ...] = ("pending", "approved", "rejected", "expired")


@dataclass(frozen=True, slots=True)
class Review:
    """Times are Unix seconds.

    key_id, key_name   who asked
    level              class of the data
    rule, because      which rule of `policy.review` demanded it, and why
    unseen             parts of the request that are no text (images, audio): a reviewer does not see them
    prompt, answer     the last user message, and the chat completion as JSON; None once nobody needs them
    reviewer, note     id of the key that decided, and what its owner says to the one who asked
    """

    id: str
    decision_id: str
    key_id: str
    key_name: str
    level: str
    task: str
    lane: str
    rule: str
    because: str
    unseen: int
    created_at: int
    expires_at: int
    prompt: str | None
    answer: str | None
    status: Status = "pending"
    decided_at: int | None = None
    reviewer: str | None = None
    note: str | None = None

    def may_decide(self, key: Key) -> bool:
        """Whether this key may approve or reject it: a reviewer, and not the one who asked.

        A rotated key has its predecessor's name. In open mode everybody is the same caller, and may.
        """
        if key.id == ANONYMOUS.id:
            return key.rights.reviewer
        return key.rights.reviewer and key.id != self.key_id and key.name != self.key_name

    def may_look(self, key: Key) -> bool:
        """Whether this key may know of it."""
        return key.id == self.key_id or key.rights.reviewer
