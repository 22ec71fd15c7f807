"""A scripted loopback provider that speaks the OpenAI and the Anthropic wire and records all of it.

Knows connections, routes and life cycle. Does not know any fault: `faults.FAULTS` lists them.

    python -m tests.support.upstream --port 0      # prints its URL, then one line per request
    python -m tests.support.upstream --faults      # prints the table
"""

import argparse
import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from tests.support.faults import FAULTS
from tests.support.http1 import BadFraming, Hangup, Peer, PeerGone, Tap
from tests.support.record import HOST, Connection, Forbid, Record, Recorded, Request, Violation
from tests.support.routes import Routes

__all__ = ["FAULTS", "Connection", "Request", "ThreadedUpstream", "Upstream", "Violation"]


class Upstream(Recorded):
    """The server, for code that has an event loop. Restarting it keeps the port."""

    def __init__(
        self,
        forbid: Forbid | None = None,
        port: int = 0,
        on_answer: Callable[[Request], None] = lambda request: None,
    ) -> None:
        self.record = Record(forbid)
        self.port = port
        self._on_answer = on_answer
        self._server: asyncio.Server | None = None
        self._live: dict[asyncio.Task[None], Peer] = {}
        self._crashes: list[BaseException] = []
        self._routes = Routes()

    async def start(self) -> "Upstream":
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Tap(self.record, self._opened), HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Drop every socket. Raises what a handler raised: a broken upstream proves nothing."""
        if self._server is None:
            return
        self._server.close()
        live = dict(self._live)
        for task, peer in live.items():
            peer.abort()
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)
        # Cancelling a task that waits for its socket cancels the waiter that every later close shares.
        ends = await asyncio.gather(*(peer.close() for peer in live.values()), return_exceptions=True)
        self._crashes += [end for end in ends if isinstance(end, Exception)]
        await self._server.wait_closed()
        self._server = None
        if self._crashes:
            raise self._crashes[0]

    async def __aenter__(self) -> "Upstream":
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def wait_until(self, true: Callable[[], bool], within: float = 60.0) -> None:
        """Return once `true()` holds; TimeoutError if it does not in time."""
        async with asyncio.timeout(within):
            while not true():  # noqa: ASYNC110 - `true` may look at anything, so nothing can signal it
                await asyncio.sleep(0.005)

    def play(self, fault: str) -> None:
        """From now on answer with this fault, whatever the model name says; empty: by the name again."""
        self._routes.instead = fault

    def clear(self) -> None:
        """Forget the past, including which messages `*_then_ok` has refused."""
        super().clear()
        self._routes.forget()

    def _opened(self, peer: Peer) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(peer))
        self._live[task] = peer
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._live[task]
        if not task.cancelled() and (crash := task.exception()):
            self._crashes.append(crash)

    async def _serve(self, peer: Peer) -> None:
        try:
            with suppress(PeerGone, Hangup):
                await self._converse(peer)
        finally:
            await peer.close()

    async def _converse(self, peer: Peer) -> None:
        try:
            while (request := await peer.read()) is not None:
                await self._answer(peer, request)
                if request.headers.get("connection", "").lower() == "close":
                    return
        except BadFraming:
            await peer.head(400, {"content-length": "0", "connection": "close"})

    async def _answer(self, peer: Peer, request: Request) -> None:
        self.record.requests.append(request)
        try:
            await self._routes.answer(peer, request)
            request.end("answered")
        finally:
            request.end(peer.connection.closed_by or "server_closed")
            peer.connection.next_request()
            self._on_answer(request)


class ThreadedUpstream(Recorded):
    """The server in a thread of its own, for synchronous tests and for other processes."""

    def __init__(self, forbid: Forbid | None = None, port: int = 0) -> None:
        self._upstream = Upstream(forbid, port)
        self.record, self.port = self._upstream.record, port
        self._thread: threading.Thread | None = None

    def start(self) -> "ThreadedUpstream":
        """Listen. Returns once the port is known; raises if it could not be had."""
        started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(started,), name="upstream", daemon=True)
        self._thread.start()
        started.wait()
        if self._failure:
            self.stop()
        return self

    def stop(self) -> None:
        """Drop every socket and end the thread."""
        if self._thread is None:
            return
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop may have closed by itself in between
                self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()
        self._thread = None
        if self._failure:
            raise self._failure

    def __enter__(self) -> "ThreadedUpstream":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until(self, true: Callable[[], bool], within: float = 60.0) -> None:
        """Return once `true()` holds; TimeoutError if it does not in time."""
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                raise TimeoutError("the upstream did not see it in time")
            time.sleep(0.005)

    def play(self, fault: str) -> None:
        """From now on answer with this fault, whatever the model name says; empty: by the name again."""
        self._upstream.play(fault)

    def clear(self) -> None:
        """Forget the past."""
        self._upstream.clear()

    def _run(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._main(started))
        except BaseException as failure:  # handed to the thread that calls start or stop
            self._failure = failure
        finally:
            started.set()

    async def _main(self, started: threading.Event) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        async with self._upstream:
            self.port = self._upstream.port
            started.set()
            await self._leave.wait()


async def _standalone(port: int) -> None:
    def log(request: Request) -> None:
        print(
            f"{request.method} {request.path} {request.model} {request.status} {request.outcome}", flush=True
        )
        if len(upstream.requests) >= 1000:  # a demo may run for days
            upstream.clear()

    upstream = Upstream(port=port, on_answer=log)
    async with upstream:
        print(upstream.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description="A scripted loopback provider; the model name is the fault.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--faults", action="store_true", help="print the table of faults and leave")
    options = parser.parse_args()
    if options.faults:
        print("\n".join(f"{fault.name:24} {fault.does}" for fault in FAULTS))
        return
    with suppress(KeyboardInterrupt):
        asyncio.run(_standalone(options.port))


if __name__ == "__main__":
    main()
