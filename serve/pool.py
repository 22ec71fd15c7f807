"""The connections of one lane: when one may carry another request. All that needs httpx2's and anyio's insides.

Knows connections. Does not know what travels, nor whether it may.
"""

import asyncio
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpcore2
import httpx2
from aiohappyeyeballs import start_connection
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream
from httpcore2._backends.anyio import AnyIOStream

MOST_AGE_S = 300.0
"""How long a connection is used: only a new one looks the lane's name up again."""
MOST_LOOKUPS = 4
"""So many of a lane are under way at once; others wait for their turn."""
_NEXT_ADDRESS_S = 0.25


class Transport(httpx2.AsyncHTTPTransport):
    """httpx2's own, but for its pool: an answer belongs to the request that its connection carries."""

    def __init__(self, limits: httpx2.Limits) -> None:
        # Not the parent's: with its own pool under a name we do not know it would work, unguarded.
        self._pool = _Pool(
            ssl_context=httpx2.create_ssl_context(trust_env=False),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Network(),
        )


class _Network(httpcore2.AsyncNetworkBackend):
    """Makes connections. Names are looked up in threads of its own.

    The loop's own look-ups share a few threads, in uvloop two: the silent name server of one lane would take them all.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MOST_LOOKUPS, thread_name_prefix="names")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's name for it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A stream to the first address of `host` that answers. Raises httpcore2's ConnectTimeout, ConnectError."""
        try:
            with anyio.fail_after(timeout):
                return AnyIOStream(await self._connected(host, port))
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except (OSError, RuntimeError) as error:  # of uvloop some are RuntimeErrors
            raise httpcore2.ConnectError(str(error)) from error

    def close(self) -> None:
        """End its threads; one that waits for a silent name server ends when that does."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _connected(self, host: str, port: int) -> SocketStream:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _addresses, host, port)
        connection = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return await SocketStream.from_socket(connection)
        except BaseException:
            connection.close()
            raise


def _addresses(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class _Pool(httpcore2.AsyncConnectionPool):
    async def aclose(self) -> None:
        """Close every connection, and end the look-ups."""
        try:
            await super().aclose()
        finally:
            assert isinstance(self._network_backend, _Network)
            self._network_backend.close()

    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        return _Connection(
            origin=origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=self._keepalive_expiry,
            network_backend=self._network_backend,
        )


class _Connection(httpcore2.AsyncHTTPConnection):
    """Carries no other request once something lies unread behind an answer, or when it is too old.

    Nobody asked for those bytes: whoever is next would get them as an answer.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._made_at = time.monotonic()

    def has_expired(self) -> bool:
        """Whether an idle connection is of no more use."""
        if super().has_expired():
            return True
        aged = time.monotonic() - self._made_at > MOST_AGE_S
        return self.is_available() and (aged or _left_over(self._connection))

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """The answer. Looks once more: the request may have waited since the pool chose this connection."""
        if self.is_available() and self.has_expired():
            await self.aclose()
            raise httpcore2.ConnectionNotAvailable
        return await super().handle_async_request(request)


def _left_over(connection: Any) -> bool:
    """Whether anything was received behind the last answer: in h11, in TLS or in anyio. What lies in the socket
    httpcore2 looks for.

    These are private names: where one is gone, nobody can tell, and the connection is not used again.
    """
    try:
        stream = connection._network_stream._stream
        left = len(connection._h11_state.trailing_data[0])
        if isinstance(stream, TLSStream):
            left += stream._read_bio.pending + stream._ssl_object.pending()
            stream = stream.transport_stream
        return bool(left or stream._protocol.read_queue)
    except AttributeError:
        return True
