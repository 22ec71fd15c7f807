"""Server-sent events as bytes, in the plain form and in the most awkward legal one.

Knows the SSE grammar. Does not know what the events mean.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["start", "content", "end", "done"]

PREAMBLE = b"\xef\xbb\xbf: upstream, a comment after a byte order mark\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event. `content` carries answer text, a tool name or arguments; `done` is the last one."""

    data: str
    kind: Kind
    event: str | None = None
    tokens: int = 0


def dump(value: Any) -> str:
    """JSON with real UTF-8 in it, so that slicing can fall inside a character."""
    return json.dumps(value, ensure_ascii=False)


def encode(frame: Frame) -> bytes:
    """The form providers send."""
    name = f"event: {frame.event}\n" if frame.event else ""
    return to_bytes(f"{name}data: {frame.data}\n\n")


def encode_awkward(frame: Frame) -> bytes:
    """Legal and rarely seen: CRLF, comments, no space after the colon, JSON over two data lines."""
    name = f"event:{frame.event}\r\n" if frame.event else ""
    # The first comma ends the first member, whose value is an identifier: never inside a string.
    data = frame.data.replace(", ", ",\r\ndata: ", 1) if frame.data.startswith("{") else frame.data
    return to_bytes(f": keep-alive\r\n{name}data:{data}\r\nid\r\n\r\n")


def to_bytes(text: str) -> bytes:
    """UTF-8. Lone surrogates, which JSON can smuggle in, become question marks."""
    return text.encode("utf-8", "replace")
