"""Which thoughts of a request's history may be sent again, and where to. Pure.

A thought has a closed part that nobody here can read, so it could carry anything. It goes to the lane that gave it
and to nobody else: that lane wrote it, and learns nothing from it. A turn keeps its thoughts as a whole or not at all,
because their provider refuses a part of them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from serve.config import Config, Lane
from serve.signals.readings import Sensitivity
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import AssistantMessage, Message, Thought

if TYPE_CHECKING:
    from serve.thoughts.store import Seal

MOST_BLOBS = 2000
"""Of one request; more are not looked up, and left out."""

_PLACE = {"kind", "name", "model", "base_url", "location"}


def seal_id(key_name: str, blob: str) -> str:
    """What the database knows a blob by: another key with the same blob is somebody else."""
    return hashlib.sha256(f"{key_name}\0{blob}".encode()).hexdigest()


def place(lane: Lane) -> str:
    """A hash of where and what a lane is: with another address or model it is another one."""
    return hashlib.sha256(lane.model_dump_json(include=_PLACE).encode()).hexdigest()[:32]


def blobs(request: ChatRequest) -> tuple[str, ...]:
    """The closed parts in a request's history, each once."""
    found = dict.fromkeys(one.blob for _, thoughts in _turns(request) for one in thoughts)
    found.pop("", None)
    return tuple(found)


def lanes_of(
    request: ChatRequest, seals: Mapping[str, "Seal"], key_name: str, config: Config
) -> dict[str, frozenset[str]]:
    """By lane the blobs that it may be given again."""
    own: dict[str, set[str]] = {}
    for _, thoughts in _turns(request):
        if (lane := _lane(thoughts, seals, key_name, config)) is not None:
            own.setdefault(lane, set()).update(one.blob for one in thoughts)
    return {lane: frozenset(found) for lane, found in own.items()}


def without_others(request: ChatRequest, own: Mapping[str, frozenset[str]]) -> ChatRequest:
    """The request without the thoughts that may go nowhere."""
    if not any(True for _ in _turns(request)):
        return request
    kept = frozenset[str]().union(*own.values())
    return request.model_copy(update={"messages": [_bare(message, kept) for message in request.messages]})


def _bare(message: Message, kept: frozenset[str]) -> Message:
    if not isinstance(message, AssistantMessage) or not message.thinking_blocks:
        return message
    if all(one.blob in kept for one in message.thinking_blocks):
        return message
    return message.model_copy(update={"thinking_blocks": None})


def _turns(request: ChatRequest) -> Iterator[tuple[int, list[Thought]]]:
    for i, message in enumerate(request.messages):
        if isinstance(message, AssistantMessage) and message.thinking_blocks:
            yield i, message.thinking_blocks


def _lane(thoughts: list[Thought], seals: Mapping[str, "Seal"], key_name: str, config: Config) -> str | None:
    """The one lane that gave all of them, if it still is what it was and may read what they are made from."""
    found = {seals.get(seal_id(key_name, one.blob)) for one in thoughts if one.blob}
    if len({(seal.lane, seal.place) if seal else None for seal in found}) != 1 or None in found:
        return None
    if not all(one.blob for one in thoughts):
        return None
    levels = [Sensitivity[seal.level.upper()] for seal in found if seal]
    name = next(seal.lane for seal in found if seal)
    lane = next((one for one in config.lanes if one.name == name), None)
    if lane is None or any(seal.place != place(lane) for seal in found if seal):
        return None
    return name if lane.location in config.policy.permits(max(levels)) else None
