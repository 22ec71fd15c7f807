"""Plays one answer to one client, with whatever the script wants to go wrong.

Knows knobs and timing. Does not know either wire: frames and bodies come ready-made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NoReturn, Protocol

from tests.support.answers import Answer, Ask, compose
from tests.support.faults import AFTER_HEAD, Script, Trouble, TroubleKind
from tests.support.http1 import Peer
from tests.support.record import Request
from tests.support.sse import PREAMBLE, Frame, dump, encode, encode_awkward, to_bytes

GARBAGE = "{not json"
_MESSAGES: dict[TroubleKind, str] = {
    "server": "The server had an error while processing your request.",
    "overloaded": "Overloaded",
    "rate_limit": "Rate limit reached for requests.",
    "auth": "Incorrect API key provided.",
    "context": "This model's maximum context length is 8192 tokens; your prompt is too long.",
    "not_found": "There is no such model here; its name looks like a misspelt fault.",
}


class Wire(Protocol):
    """One dialect. The wire modules are its implementations."""

    PATH: str
    REQUEST_ID: str

    def read(self, body: dict[str, Any], headers: dict[str, str]) -> Ask: ...
    def unary(self, ask: Ask, answer: Answer, serial: int) -> dict[str, Any]: ...
    def frames(self, ask: Ask, answer: Answer, serial: int) -> Iterator[Frame]: ...
    def error(self, kind: TroubleKind, message: str) -> dict[str, Any]: ...
    def error_frame(self, message: str) -> Frame: ...
    def models(self, names: list[str]) -> dict[str, Any]: ...


@dataclass(slots=True)
class Stage:
    """One request about to be answered."""

    peer: Peer
    request: Request
    wire: Wire
    ask: Ask
    script: Script
    serial: int
    pending: bytes = b""
    ends: int = 0

    async def play(self) -> None:
        """Answer, or fail as scripted."""
        if self.script.hang:
            await self.peer.hang()
        if self.script.drop:
            self.peer.cut()
        await self._wait(self.script.wait_head_ms)
        if self.script.trouble:
            await self._refuse(self.script.trouble)
        elif self.ask.stream:
            await self._stream()
        else:
            await self._unary()

    async def _wait(self, ms: int) -> None:
        if ms:
            await self.peer.sleep(ms)

    async def _head(self, status: int, kind: str, length: int | None, more: Mapping[str, str]) -> None:
        self.request.status = status
        self.request.answered_at = monotonic()
        body = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        identity = {self.wire.REQUEST_ID: f"req_{self.serial}"}
        await self.peer.head(status, {"content-type": kind} | identity | body | dict(more))

    async def reply(self, status: int, body: bytes, more: Mapping[str, str] | None = None) -> None:
        """A complete JSON answer."""
        await self._head(status, "application/json", len(body), more or {})
        await self.peer.send(body)

    async def _refuse(self, trouble: Trouble) -> None:
        more = {"retry-after": trouble.retry_after} if trouble.retry_after is not None else {}
        message = _MESSAGES.get(trouble.kind, "")
        if trouble.kind == "echo":
            key = self.request.headers.get("authorization") or self.request.headers.get("x-api-key", "")
            message = f"cannot answer {self.ask.prompt!r} for key {key!r}"
            more = {"set-cookie": f"session={key}", "x-debug-prompt": " ".join(self.ask.prompt.split())[:200]}
        await self.reply(trouble.status, to_bytes(dump(self.wire.error(trouble.kind, message))), more)

    # unary

    async def _unary(self) -> None:
        answer = compose(self.ask, self.script)
        self.request.tokens_in = self.ask.input_tokens
        await self._wait(self.script.wait_first_ms + self.script.wait_each_ms * (len(answer.pieces) - 1))
        body = self._body(answer)
        await self._head(200, "application/json", len(body), {})
        await self._send_body(body, len(answer.pieces) * self.ask.n)

    def _body(self, answer: Answer) -> bytes:
        if self.script.garbage:
            return GARBAGE.encode()
        if self.script.break_at is not None and self.script.break_how == "error":
            return to_bytes(dump(self.wire.error("server", "broke after the head was sent")))
        if self.script.break_at == AFTER_HEAD and self.script.break_how == "end":
            return b""
        return to_bytes(dump(self.wire.unary(self.ask, answer, self.serial)))

    async def _send_body(self, body: bytes, tokens: int) -> None:
        half = 0 if self.script.break_at == AFTER_HEAD else len(body) // 2
        if self.script.break_at is not None and self.script.break_how not in ("error", "end"):
            await self.peer.send(body[:half])
            self._close()
        await self.peer.send(body[:half])
        await self._wait(self.script.wait_second_ms)
        # Before the end goes out: whoever has the whole answer may look at once.
        self.request.chunks += 1
        self.peer.connection.chunks += 1
        self.request.tokens_out = tokens
        step = self.script.slice or len(body) or 1
        for start in range(half, len(body), step):
            await self.peer.send(body[start : start + step])

    # streams

    async def _stream(self) -> None:
        await self._head(200, "text/event-stream; charset=utf-8", None, {"cache-control": "no-cache"})
        self.request.tokens_in = self.ask.input_tokens
        if self.script.slice:
            await self._emit(PREAMBLE)
        for frame in self._frames():
            if self._breaks(frame):
                await self._break(frame)
                break
            await self._pause(frame)
            await self._emit(self._encode(frame))
            self._count(frame)
        await self._flush()
        await self.peer.end_chunks()

    def _frames(self) -> Iterator[Frame]:
        if self.script.garbage:
            return iter([Frame(GARBAGE, "content")])
        made = self.wire.frames(self.ask, compose(self.ask, self.script), self.serial)
        return (frame for frame in made if self.script.done or frame.kind != "done")

    def _breaks(self, frame: Frame) -> bool:
        """A break is due before the next content, and at the latest before the answer ends."""
        if self.script.cut_end and frame.kind == "end":
            self.ends += 1
            return self.ends == self.ask.n
        at = self.script.break_at
        if at is None or at == AFTER_HEAD:
            return at is not None
        return frame.kind in ("end", "done") or (frame.kind == "content" and self.request.chunks >= at)

    async def _break(self, frame: Frame) -> None:
        match self.script.break_how:
            case "end":
                return
            case "error":
                await self._emit(self._encode(self.wire.error_frame("broke in the middle of the stream")))
                return
            case "half":
                whole = self._encode(frame)
                await self._emit(whole[: len(whole) // 2])
        await self._flush()
        self._close()

    def _close(self) -> NoReturn:
        if self.script.break_how == "rst":
            self.peer.reset()
        self.peer.cut()

    async def _pause(self, frame: Frame) -> None:
        if frame.kind == "content":
            sent = self.request.chunks
            due = {0: self.script.wait_first_ms, 1: self.script.wait_second_ms}.get(sent, 0)
            await self._wait(due + (self.script.wait_each_ms if sent else 0))

    def _encode(self, frame: Frame) -> bytes:
        return encode_awkward(frame) if self.script.slice else encode(frame)

    def _count(self, frame: Frame) -> None:
        self.request.tokens_out += frame.tokens
        if frame.kind == "content":
            self.request.chunks += 1
            self.peer.connection.chunks += 1

    async def _emit(self, data: bytes) -> None:
        """One HTTP chunk per event, or slices of the scripted size across events."""
        size = self.script.slice or len(data)
        self.pending += data
        while self.pending and len(self.pending) >= size:
            await self.peer.chunk(self.pending[:size])
            self.pending = self.pending[size:]

    async def _flush(self) -> None:
        if self.pending:
            await self.peer.chunk(self.pending)
            self.pending = b""
