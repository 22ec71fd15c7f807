"""What a session is called in the database: a hash, different for every key.

A client names it in a header, or it is a tool loop: the same opening, and the ids of its first tool calls. The system
prompt is no part of that name, since many agents write the time into it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from serve.ledger.terms import Payer
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import AssistantMessage, Message, TextPart, UserMessage


@dataclass(frozen=True, slots=True)
class Name:
    """A session's name, and how it is known."""

    id: str
    known_by: Literal["header", "tools"]


def of(payer: Payer, request: ChatRequest) -> Name | None:
    """The session that a request belongs to, None for the first of a tool loop and for whatever is no session."""
    if payer.session_id is not None:
        return Name(f"header:{payer.session_id}", "header")
    called = (m.tool_calls for m in request.messages if isinstance(m, AssistantMessage) and m.tool_calls)
    return loop(payer, request, (call.id for call in next(called, ())))


def home(payer: Payer, request: ChatRequest) -> str:
    """What the requests of one conversation share: its session, or everything up to its first user message."""
    if payer.session_id is not None:
        return payer.session_id
    first = next((i for i, m in enumerate(request.messages) if isinstance(m, UserMessage)), 0)
    opening = [_words(message) for message in request.messages[: first + 1]]
    return hashlib.sha256(json.dumps([payer.key.name, *opening]).encode()).hexdigest()[:32]


def loop(payer: Payer, request: ChatRequest, ids: Iterable[str]) -> Name | None:
    """The tool loop that `request` begins or goes on with, by the ids of its first tool calls."""
    known = sorted(filter(None, ids))
    if not known:
        return None
    first = next((m for m in request.messages if isinstance(m, UserMessage)), None)
    opening = _words(first) if first else ""
    text = json.dumps([payer.key.name, opening, known])
    return Name(f"tools:{hashlib.sha256(text.encode()).hexdigest()[:32]}", "tools")


def _words(message: Message) -> str:
    """The message, the same whether its text is in one part or in several: agents move their marks for caches along."""
    content = message.content
    if isinstance(content, list) and all(isinstance(part, TextPart) for part in content):
        text = "\n".join(part.text for part in content if isinstance(part, TextPart))
        return message.model_copy(update={"content": text}).model_dump_json(exclude_none=True)
    return message.model_dump_json(exclude_none=True)
