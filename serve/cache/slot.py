"""Where in the cache the answer to one request would lie, and whether it may lie there at all.

Knows requests and keys. Does not know answers.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from serve.config import Config
from serve.keys.rights import Key
from serve.ledger import purse
from serve.thoughts import seal
from serve.tracing import spans
from serve.wire.openai_chat import ChatRequest

CONTROL_HEADER = "cache-control"
_CHANGES_NOTHING = frozenset({CONTROL_HEADER, purse.SESSION_HEADER, purse.MOST_HEADER, *spans.HEADERS})


@dataclass(frozen=True, slots=True)
class Slot:
    """`id`: a hash of everything that the answer may depend on, None: no place. `reads`: an old answer may be given."""

    id: bytes | None = None
    reads: bool = False


NOWHERE = Slot()


def of(request: ChatRequest, headers: Mapping[str, str], key: Key, config: Config) -> Slot:
    """The place for one request, as its client sent it. `headers`: those that steer."""
    directives = {word.strip().lower() for word in headers.get(CONTROL_HEADER, "").split(",")}
    if not (config.cache.enabled and key.rights.cache and _has_one_answer(request)):
        return NOWHERE
    if "no-store" in directives:
        return NOWHERE
    steering = sorted((name, value) for name, value in headers.items() if name not in _CHANGES_NOTHING)
    parts = [key.id, config.version, steering, request.model, request.sent(), [*seal.blobs(request)]]
    text = json.dumps(parts, sort_keys=True)
    return Slot(hashlib.sha256(text.encode()).digest(), not directives & {"no-cache", "max-age=0"})


def _has_one_answer(request: ChatRequest) -> bool:
    """Who samples wants another answer each time."""
    return request.temperature == 0 and (request.n or 1) == 1 and not request.logprobs
