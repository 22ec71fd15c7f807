"""A client without manners: a plain socket that reports bytes, chunks, pauses and how it ended.

Knows HTTP/1.1 framing and SSE. Repairs nothing and retries nothing.
"""

import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

OPENAI = "/v1/chat/completions"
ANTHROPIC = "/v1/messages"
Ending = Literal["clean", "cut", "reset"]


@dataclass(slots=True)
class Raw:
    """One exchange. `chunks` are HTTP chunks, `arrivals` the monotonic time of each read."""

    data: bytes = b""
    started: float = field(default_factory=time.monotonic)
    arrivals: list[float] = field(default_factory=list)
    was_reset: bool = False
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False

    @property
    def ended(self) -> Ending:
        """`cut` when the body is shorter than its framing promised."""
        return "reset" if self.was_reset else "clean" if self.complete else "cut"

    @property
    def pauses(self) -> list[float]:
        """Seconds before each read."""
        return [b - a for a, b in zip([self.started, *self.arrivals], self.arrivals, strict=False)]

    @property
    def json(self) -> Any:
        """The body as one JSON value."""
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str | None, str]]:
        """The body as (event, data) pairs; an event without its blank line does not count."""
        text = self.body.decode("utf-8-sig", "replace").replace("\r\n", "\n")
        found = [_event(block) for block in text.split("\n\n")[:-1]]
        return [(name, data) for name, data in found if data]

    @property
    def payloads(self) -> list[Any]:
        """The JSON of every event but [DONE]."""
        return [json.loads(data) for _, data in self.events if data != "[DONE]"]

    @property
    def texts(self) -> list[str]:
        """The content deltas of either wire, tool arguments included."""
        return [text for payload in self.payloads for text in _deltas(payload)]

    @property
    def text(self) -> str:
        """All content deltas together."""
        return "".join(self.texts)


def post(url: str, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Raw:
    """Send one request and read until the other side closes."""
    with connect(url) as sock:
        sock.sendall(encode(path, body, headers))
        raw = Raw()
        try:
            while data := sock.recv(1 << 16):
                raw.data += data
                raw.arrivals.append(time.monotonic())
        except ConnectionResetError:
            raw.was_reset = True
    _parse(raw)
    return raw


def connect(url: str) -> socket.socket:
    """A socket to the host of `url`."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=60)


def encode(path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a POST that asks for `Connection: close`."""
    payload = json.dumps(body).encode()
    fields = {"host": "upstream", "connection": "close", "content-length": str(len(payload))} | (
        headers or {}
    )
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + payload


def _parse(raw: Raw) -> None:
    head, _, rest = raw.data.partition(b"\r\n\r\n")
    if not head:
        return
    first, *lines = head.decode("latin-1").split("\r\n")
    raw.status = int(first.split(" ")[1])
    raw.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if raw.headers.get("transfer-encoding") == "chunked":
        _dechunk(raw, rest)
    else:
        raw.body = rest
        raw.complete = len(rest) == int(raw.headers.get("content-length", "0"))


def _dechunk(raw: Raw, rest: bytes) -> None:
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            raw.complete = True
            return
        raw.chunks.append(rest[:size])
        raw.body += rest[:size]
        rest = rest[size + 2 :]


def _event(block: str) -> tuple[str | None, str]:
    lines = [line.partition(":") for line in block.split("\n")]
    name = next((value.removeprefix(" ") for key, _, value in lines if key == "event"), None)
    return name, "\n".join(value.removeprefix(" ") for key, _, value in lines if key == "data")


def _deltas(payload: dict[str, Any]) -> list[str]:
    if delta := payload.get("delta"):
        return [delta[key] for key in ("text", "partial_json") if key in delta]
    found = []
    for choice in payload.get("choices", ()):
        calls = choice["delta"].get("tool_calls", ())
        found += [call["function"]["arguments"] for call in calls] or [choice["delta"].get("content") or ""]
    return [text for text in found if text]
