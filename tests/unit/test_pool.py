"""An answer belongs to the request that its connection carries, whatever an upstream sends besides."""

import asyncio
import queue
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve import egress, pool
from serve.config import HttpLane

SECOND = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nstrangers"
A_RECORD, A_READ = 16_384, 65_536
"""What TLS puts in one record, and what httpcore2 reads at once: what is behind that waits elsewhere."""
LANE = HttpLane.model_validate(
    {"name": "l", "kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9", "location": "device",
     "context": 8192}
)  # fmt: skip


class Upstream:
    """Answers with the path that was asked for, padded to `size` bytes, and says `behind` after it."""

    def __init__(self, behind: bytes, size: int, tls: ssl.SSLContext | None) -> None:
        self.behind, self.size, self.tls = behind, size, tls
        self.writers: list[asyncio.StreamWriter] = []
        self.talks: list[asyncio.Task[None]] = []

    def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """For `asyncio.start_server`."""
        self.talks.append(asyncio.create_task(self._talk(reader, writer)))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with suppress(ConnectionError):
            while line := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                writer.write(self._answer(line.split()[1]) + self.behind)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    def _answer(self, said: bytes) -> bytes:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %5d\r\n\r\n"
        body = said.ljust(max(0, self.size - len(head % 0)))
        return head % len(body) + body


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, and the key with it."""
    whole = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(whole), "-out", f"{whole}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    whole.write_text(whole.read_text() + Path(f"{whole}.crt").read_text())
    return whole


Made = Callable[[bytes, int], Upstream]


@pytest.fixture(params=["plain", "tls"])
def made(request: pytest.FixtureRequest, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Makes an upstream; the client trusts it."""
    if request.param == "plain":
        return lambda behind, size: Upstream(behind, size, None)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda trust_env: trusting)
    return lambda behind, size: Upstream(behind, size, tls)


@asynccontextmanager
async def asking(upstream: Upstream) -> AsyncIterator[Callable[[str], "asyncio.Task[httpx2.Response]"]]:
    async with await asyncio.start_server(upstream.answer, "127.0.0.1", 0, ssl=upstream.tls) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http{'s' if upstream.tls else ''}://127.0.0.1:{port}"
        async with egress.client(LANE) as client:
            yield lambda path: asyncio.create_task(client.get(url + path))
        await asyncio.gather(*upstream.talks)


async def heard(upstream: Upstream) -> list[str]:
    async with asking(upstream) as ask:
        return [(await ask(path)).text.strip() for path in ("/alice", "/bob", "/carol")]


@pytest.mark.parametrize("size", [0, A_RECORD, A_READ])
@pytest.mark.parametrize("behind", [SECOND, b"\r\n", SECOND * 9000], ids=["answer", "crlf", "endless"])
async def test_what_an_upstream_says_besides_is_nobodys_answer(made: Made, behind: bytes, size: int) -> None:
    upstream = made(behind, size)
    assert await heard(upstream) == ["/alice", "/bob", "/carol"]
    assert len(upstream.writers) == 3


@pytest.mark.parametrize("size", [0, A_RECORD, A_READ])
async def test_a_connection_with_nothing_left_over_is_used_again(made: Made, size: int) -> None:
    """It holds the private names as well: were one gone, every request would open a connection."""
    upstream = made(b"", size)
    assert await heard(upstream) == ["/alice", "/bob", "/carol"]
    assert len(upstream.writers) == 1


async def test_what_comes_while_a_connection_is_idle_is_nobodys_answer(made: Made) -> None:
    upstream = made(b"", 0)
    async with asking(upstream) as ask:
        first = await ask("/alice")
        upstream.writers[0].write(SECOND)
        socket = first.extensions["network_stream"].get_extra_info("socket")
        await asyncio.to_thread(select.select, [socket], [], [])
        assert (await ask("/bob")).text == "/bob"
    assert len(upstream.writers) == 2


async def test_a_connection_is_not_used_for_ever(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under steady traffic its lane's name would never be looked up again."""
    monkeypatch.setattr(pool, "MOST_AGE_S", -1)
    upstream = made(b"", 0)
    assert await heard(upstream) == ["/alice", "/bob", "/carol"]
    assert len(upstream.writers) == 3


def test_where_nobody_can_tell_what_is_left_over_a_connection_is_not_used_again() -> None:
    assert pool._left_over(object())


WITHIN_S = 20.0
"""A limit for waiting, not a promise: the machine may be busy."""


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator["queue.Queue[str]"]:
    """The names that are being looked up at a server that says nothing: those that begin with `silent`."""
    asked: queue.Queue[str] = queue.Queue()
    over, known = threading.Event(), socket.getaddrinfo

    def lookup(host: str, *given: Any, **more: Any) -> Any:
        if str(host).startswith("silent"):
            asked.put(host)
            over.wait(WITHIN_S)
            raise socket.gaierror("nobody answers")
        if host == "two.test":  # nothing listens at the first
            return known("127.0.0.2", *given, **more) + known("127.0.0.1", *given, **more)
        return known("127.0.0.1" if str(host).endswith(".test") else host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    yield asked
    over.set()


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    upstream = Upstream(b"", 0, None)
    async with await asyncio.start_server(upstream.answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in upstream.writers:
            writer.close()
        await asyncio.gather(*upstream.talks)


async def test_a_silent_lookup_of_one_lane_delays_no_other_lane(silent: "queue.Queue[str]") -> None:
    async with listening() as port, egress.client(LANE) as lost, egress.client(LANE) as well:
        waiting = [asyncio.create_task(lost.get("http://silent.test/")) for _ in range(40)]
        for _ in range(pool.MOST_LOOKUPS):
            await asyncio.to_thread(silent.get, timeout=WITHIN_S)
        async with asyncio.timeout(WITHIN_S):
            assert (await well.get(f"http://well.test:{port}/alice")).text == "/alice"
            assert await asyncio.to_thread(lambda: "read") == "read"
        assert silent.empty()
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


async def test_a_silent_lookup_ends_with_the_time_for_a_connection(silent: "queue.Queue[str]") -> None:
    async with egress.client(LANE, connect_s=0.05) as lost:
        with pytest.raises(httpx2.ConnectTimeout):
            await lost.get("http://silent.test/")


async def test_a_name_is_tried_at_all_its_addresses(silent: "queue.Queue[str]") -> None:
    async with listening() as port, egress.client(LANE) as client:
        assert (await client.get(f"http://two.test:{port}/alice")).text == "/alice"
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://127.0.0.2:9/")


async def test_a_name_that_nobody_knows_is_an_error_of_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lookup(*given: Any, **more: Any) -> Any:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    async with egress.client(LANE) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://gone.test/")


async def test_a_pool_that_is_closed_leaves_no_thread_behind(made: Made) -> None:
    before = _looking_up()
    async with asking(made(b"", 0)) as ask:
        await ask("/alice")
        assert len(_looking_up()) == len(before) + 1
    for _ in range(500):
        if len(_looking_up()) <= len(before):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(_looking_up())


def _looking_up() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("names")]
