"""The append-only record of an upstream: sockets, bytes, requests, and who hung up.

Knows what happened and when. Does not know why, nor what a chat completion is.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Forbid = Callable[[bytes], bool] | list[bytes]
Closer = Literal["client_closed", "server_closed"]
HOST = "127.0.0.1"
Outcome = Literal["pending", "answered", "client_closed", "server_closed"]


@dataclass(slots=True)
class Connection:
    """One accepted socket. `chunks` counts content chunks (a unary body is one); `peer` is the caller's address."""

    id: int
    opened_at: float
    received: bytearray = field(default_factory=bytearray)
    window: bytearray = field(default_factory=bytearray)
    tripped: set[bytes | None] = field(default_factory=set)
    chunks: int = 0
    closed_by: Closer | None = None
    closed_at: float | None = None
    peer: str = ""

    def close(self, by: Closer) -> None:
        """Note who hung up; the first cause stands, because every close ends both directions."""
        if self.closed_by is None:
            self.closed_by, self.closed_at = by, time.monotonic()

    def next_request(self) -> None:
        """Start a new tripwire window: one pattern counts once per request."""
        self.window.clear()
        self.tripped.clear()


@dataclass(slots=True)
class Request:
    """One parsed request and the fate of its answer.

    `headers` has lower-case names; repeated ones are joined by `, `, `raw_headers` keeps them
    apart. Times are monotonic. `tokens_in` and `tokens_out` are what a provider would bill.
    """

    connection: Connection
    method: str
    path: str
    headers: dict[str, str]
    raw_headers: tuple[tuple[str, str], ...]
    body: bytes
    received_at: float
    json: Any = None
    outcome: Outcome = "pending"
    status: int | None = None
    chunks: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    answered_at: float | None = None
    ended_at: float | None = None

    def __post_init__(self) -> None:
        try:
            self.json = json.loads(self.body)
        except (ValueError, RecursionError):
            self.json = None

    @property
    def model(self) -> str | None:
        """The model asked for, which is the fault asked for."""
        return self.json.get("model") if isinstance(self.json, dict) else None

    def end(self, outcome: Outcome) -> None:
        """Close the entry; the first outcome stands."""
        if self.outcome == "pending":
            self.outcome, self.ended_at = outcome, time.monotonic()


@dataclass(frozen=True, slots=True)
class Violation:
    """A forbidden pattern arrived. `pattern` is None when a callable tripwire saw it."""

    connection: int
    pattern: bytes | None
    at: float


class Record:
    """Everything an upstream saw. Written by its loop, readable from any thread."""

    def __init__(self, forbid: Forbid | None = None) -> None:
        self.forbid = forbid
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.violations: list[Violation] = []
        self._opened = 0

    @property
    def received_bytes(self) -> bytes:
        """All bytes, socket after socket: interleaving must not hide a pattern from a search."""
        return b"".join(bytes(each.received) for each in list(self.connections))

    def clear(self) -> None:
        """Forget the past. Sockets still open stay listed, without their bytes."""
        self.requests = []
        self.violations = []
        self.connections = [each for each in self.connections if each.closed_by is None]
        for each in self.connections:
            each.received = bytearray()

    def open(self) -> Connection:
        """Enter a new socket."""
        self._opened += 1
        connection = Connection(self._opened, time.monotonic())
        self.connections.append(connection)
        return connection

    def receive(self, connection: Connection, data: bytes) -> None:
        """Enter raw bytes, and look for forbidden ones even when they straddle two reads."""
        connection.received += data
        if self.forbid is None:
            return
        connection.window += data
        for pattern in self._tripped(bytes(connection.window)) - connection.tripped:
            connection.tripped.add(pattern)
            self.violations.append(Violation(connection.id, pattern, time.monotonic()))

    def _tripped(self, window: bytes) -> set[bytes | None]:
        if callable(self.forbid):
            return {None} if self.forbid(window) else set()
        return {pattern for pattern in self.forbid or [] if pattern in window}


class Recorded:
    """What an upstream saw. Safe to read from any thread, also after it stopped."""

    record: Record
    port: int

    @property
    def url(self) -> str:
        """Root URL; the OpenAI SDK wants `/v1` after it, the Anthropic SDK does not."""
        return f"http://{HOST}:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Every parsed request, oldest first."""
        return self.record.requests

    @property
    def connections(self) -> list[Connection]:
        """Every socket accepted, oldest first."""
        return self.record.connections

    @property
    def received_bytes(self) -> bytes:
        """Every byte received, socket after socket."""
        return self.record.received_bytes

    @property
    def violations(self) -> list[Violation]:
        """Every sighting of a forbidden pattern."""
        return self.record.violations

    def clear(self) -> None:
        """Forget the past."""
        self.record.clear()
