"""One accepted socket: reads HTTP/1.1 requests, writes answers byte by byte, sees hang-ups.

Knows framing and sockets. Does not know what a chat completion is.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import NoReturn

from tests.support.record import Connection, Record, Request

MAX_HEAD = 1 << 20
_NO_LINGER = struct.pack("ii", 1, 0)


class PeerGone(Exception):
    """The client closed before the answer was complete."""


class Hangup(Exception):
    """We closed the socket on purpose; nothing more can be sent."""


class BadFraming(Exception):
    """The bytes are not an HTTP/1.1 request."""


class Tap(asyncio.StreamReaderProtocol):
    """asyncio's stream protocol, reporting every byte and every hang-up to the record."""

    connection: Connection

    def __init__(self, record: Record, opened: Callable[["Peer"], None]) -> None:
        self._record = record
        self._opened = opened
        self.gone = asyncio.Event()
        self.lost = asyncio.Event()
        super().__init__(asyncio.StreamReader(limit=MAX_HEAD), self._made)

    def _made(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection = self._record.open()
        self.connection.peer = str(writer.get_extra_info("peername", ("",))[0])
        self._opened(Peer(self, reader, writer))

    def data_received(self, data: bytes) -> None:
        self._record.receive(self.connection, data)
        super().data_received(data)

    def eof_received(self) -> bool | None:
        self._leave()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self.lost.set()
        super().connection_lost(exc)

    def _leave(self) -> None:
        self.connection.close("client_closed")
        self.gone.set()


class Peer:
    """The client at the other end. Every write or wait raises PeerGone once it has left."""

    def __init__(self, tap: Tap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tap, self._reader, self._writer = tap, reader, writer
        self.connection = tap.connection

    async def read(self) -> Request | None:
        """The next request, or None when the client closed between requests."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            first, *lines = head[:-4].decode("latin-1").split("\r\n")
            method, path, _version = first.split(" ")
            pairs = tuple(_header(line) for line in lines)
            headers = _join(pairs)
            body = await self._body(headers)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except (ValueError, asyncio.LimitOverrunError) as bad:
            raise BadFraming(str(bad)) from bad
        return Request(self.connection, method, path, headers, pairs, body, time.monotonic())

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        parts = []
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        while (await self._reader.readline()).strip():
            pass
        return b"".join(parts)

    async def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Status line and headers."""
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))

    async def chunk(self, data: bytes) -> None:
        """One chunk of a chunked body."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end_chunks(self) -> None:
        """The clean end of a chunked body."""
        await self.send(b"0\r\n\r\n")

    async def send(self, data: bytes) -> None:
        """Exactly these bytes."""
        # Without this turn of the loop a long answer would starve the read side and never see EOF.
        await asyncio.sleep(0)
        if self._tap.gone.is_set():
            raise PeerGone
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError as gone:
            raise PeerGone from gone

    async def sleep(self, ms: int) -> None:
        """Wait, but no longer than the client does."""
        try:
            await asyncio.wait_for(self._tap.gone.wait(), ms / 1000)
        except TimeoutError:
            return
        raise PeerGone

    async def hang(self) -> NoReturn:
        """Stay silent until the client leaves."""
        await self._tap.gone.wait()
        raise PeerGone

    def cut(self) -> NoReturn:
        """Close in order (FIN) after what was written."""
        self.connection.close("server_closed")
        raise Hangup

    def reset(self) -> NoReturn:
        """Close with RST."""
        self.connection.close("server_closed")
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.abort()
        raise Hangup

    def abort(self) -> None:
        """Drop the socket now, with whatever is unsent."""
        self.connection.close("server_closed")
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close after what was written, and wait until the socket is really gone."""
        self.connection.close("server_closed")
        with suppress(ConnectionError):
            self._writer.close()
            await self._writer.wait_closed()
        await self._tap.lost.wait()


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError(f"not a header line: {line!r}")
    return name.strip().lower(), value.strip()


def _join(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
