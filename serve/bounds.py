"""How large and how deep one request may be, and the check of its JSON text before anything parses it.

Knows shapes and numbers. Does not know what a chat request is.
"""

from dataclasses import dataclass

import numpy as np

from serve.errors import InvalidRequest

_VALUES = np.zeros(256, dtype=np.bool_)
_VALUES[list(b",{[")] = True
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_BRACKETS = _STEPS != 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one request; each is a key of the section `server` with `max_` before it.

    depth     levels of nesting of the body; the parser itself stops at 200
    values    strings, numbers, objects and lists of the body, at any depth
    messages  items of `messages`
    parts     content parts of all messages together
    """

    depth: int = 100
    values: int = 250_000
    messages: int = 10_000
    parts: int = 10_000


def check_text(body: bytes, bounds: Bounds) -> None:
    """Raise InvalidRequest for JSON nested too deep or of too many values; what is no JSON may pass.

    A parser needs some 100 bytes for a value of two: counted here, 8 MiB stay 8 MiB.
    """
    openers = body.count(b"{") + body.count(b"[")
    if openers <= bounds.depth and openers + body.count(b",") <= bounds.values:
        return  # as most bodies: too few of either even if all of them stood outside of strings
    # Without escaped backslashes and then escaped quotes, every quote opens or closes a string.
    text = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), dtype=np.uint8)
    bare = text[~np.logical_xor.accumulate(text == ord('"'))]
    if np.count_nonzero(_VALUES[bare]) > bounds.values:
        raise _over("values", bounds.values, "body_too_complex", "(body)")
    steps = _STEPS[bare[_BRACKETS[bare]]]
    if steps.size and int(np.cumsum(steps, dtype=np.int32).max()) > bounds.depth:
        raise _over("depth", bounds.depth, "body_too_deep", "(body)")


def check_count(name: str, found: int, limit: int, param: str) -> None:
    """Raise InvalidRequest when there are more than `limit` of what `server.max_<name>` bounds."""
    if found > limit:
        raise _over(name, limit, f"too_many_{name}", param)


def _over(name: str, limit: int, code: str, param: str) -> InvalidRequest:
    unit = "levels of nesting" if name == "depth" else name
    message = f"{param} has more than {limit:,} {unit}; the limit is server.max_{name}"
    return InvalidRequest(message, param=None if param == "(body)" else param, code=code)
