"""Rows I3, I6, I7 and I8 as raw bytes: what no HTTP library would send, over plain sockets."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import psutil
import pytest

from tests.http.conftest import Scene
from tests.support.nightly import cases
from tests.support.rawclient import connect
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello"}]}).encode()
WAIT_S = 20


def head(*lines: str, path: str = CHAT) -> bytes:
    first = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json"]
    return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")


def everything(sock: socket.socket) -> bytes:
    """All that comes until the other side closes; a side that never closes fails the test."""
    sock.settimeout(WAIT_S)
    got = b""
    try:
        while data := sock.recv(1 << 16):
            got += data
    except ConnectionResetError:
        pass
    return got


def exchange(s: Scene, *sent: bytes) -> bytes:
    with connect(s.url) as sock:
        try:
            for part in sent:
                sock.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return everything(sock)


def statuses(got: bytes) -> list[int]:
    return [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]]


def healthy(s: Scene) -> None:
    assert httpx2.get(f"{s.url}/healthz", timeout=WAIT_S).status_code == 200


@pytest.fixture(scope="module")
def short() -> Iterator[Scene]:
    """A scene with short limits."""
    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream())
        limits = {"max_body_bytes": 64 * 1024, "body_timeout_s": 1}
        url = stack.enter_context(serving(config(local.url, cloud.url, server=limits)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


@pytest.fixture
def small(short: Scene) -> Iterator[Scene]:
    """A scene that must be well, and must have asked no lane, when the test ends."""
    yield short
    healthy(short)
    assert not short.local.requests
    assert not short.cloud.connections


# I3: bodies that are too large, or not as long as they say.


def test_a_body_one_byte_over_the_default_limit_is_413_before_it_is_sent(scene: Callable[..., Scene]) -> None:
    """8 MiB + 1 declared: 413 from the header alone, and the connection closes."""
    s = scene()
    got = exchange(s, head(f"content-length: {(8 << 20) + 1}", "connection: close"))
    assert statuses(got) == [413]
    assert b'"code":"body_too_large"' in got


def test_a_body_at_the_default_limit_is_read(scene: Callable[..., Scene]) -> None:
    s = scene()
    padded = BODY + b" " * ((8 << 20) - len(BODY))
    assert httpx2.post(s.url + CHAT, content=padded, headers=_JSON, timeout=60).status_code == 200


def test_a_chunked_body_is_cut_off_at_the_limit_and_not_kept(scene: Callable[..., Scene]) -> None:
    """A client that declares nothing and never stops gets 413; the process keeps at most twice the limit."""
    s = scene()
    healthy(s)
    before = psutil.Process().memory_info().rss
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with connect(s.url) as sock:
        sock.sendall(head("transfer-encoding: chunked"))
        sent = 0
        try:
            while sent < 64 << 20:
                sock.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        assert b" 413 " in everything(sock)[:16]
    assert sent < 64 << 20
    assert psutil.Process().memory_info().rss - before < 2 * (8 << 20) + (
        32 << 20
    )  # 32 MiB: the rest of the test
    healthy(s)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param((head("content-length: 10"), BODY), 400, id="longer-than-declared"),
        pytest.param((head(f"content-length: {len(BODY) + 50}"), BODY), 408, id="shorter-than-declared"),
        pytest.param((head("content-length: -1"), BODY), 400, id="negative"),
        pytest.param((head("content-length: 1e3"), BODY), 400, id="no-number"),
        pytest.param((head("content-length: 5", "content-length: 6"), BODY), 400, id="two-lengths"),
        pytest.param((head("transfer-encoding: chunked"), b"zz\r\nxx\r\n"), 400, id="chunk-size-no-number"),
        pytest.param((head("transfer-encoding: chunked"), b"5\r\nabcdefgh\r\n"), 400, id="chunk-longer-than-said"),
        pytest.param((head("transfer-encoding: chunked"), b"fffffffffffffffff\r\nx"), 400, id="chunk-of-2-to-the-68"),
        pytest.param((head("transfer-encoding: chunked"), b"5\r\nab"), 408, id="chunk-never-finished"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_as_long_as_it_says_is_refused(
    small: Scene, sent: tuple[bytes, ...], expected: int
) -> None:
    """400 or 408 at the latest after the body's deadline; the bytes never become a second request."""
    with connect(small.url) as sock:
        for part in sent:
            sock.sendall(part)
        sock.settimeout(WAIT_S)
        got = sock.recv(1 << 16)
    assert statuses(got)[0] in {expected, 400}
    assert 200 not in statuses(got)


# I6: slow clients.


@pytest.mark.parametrize("path", [CHAT, "/v1/route"])
def test_a_body_of_one_byte_at_a_time_is_408_however_steadily_it_comes(small: Scene, path: str) -> None:
    """The body's deadline is for the whole of it: a byte now and then does not push it away."""
    with connect(small.url) as sock:
        sock.sendall(head("content-length: 4096", path=path))
        sock.settimeout(0.05)
        got = b""
        until = time.monotonic() + WAIT_S
        while not got and time.monotonic() < until:
            sock.sendall(b"{")
            try:
                got = sock.recv(1 << 16)
            except TimeoutError:
                continue
    assert statuses(got) == [408]


def test_half_open_requests_do_not_stop_a_healthy_one(small: Scene) -> None:
    """500 sockets that never finish their headers: others are served meanwhile, and none of the 500 reaches a lane."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(small.url)) for _ in range(cases(200, 500))]
        for sock in slow:
            sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nx-slow: ")
        answers = [httpx2.get(f"{small.url}/healthz", timeout=WAIT_S).status_code for _ in range(10)]
        assert answers == [200] * 10
        still_open = [sock for sock in slow if unanswered(sock)]
    assert still_open == slow
    assert not small.local.requests
    assert not small.cloud.connections


def unanswered(sock: socket.socket) -> bool:
    """Whether the other side has neither said anything nor hung up."""
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    return False


# I7: what two parsers could read in two ways.


SMUGGLED = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(
            head("content-length: 4", "transfer-encoding: chunked") + b"0\r\n\r\n" + SMUGGLED, id="cl-te"
        ),
        pytest.param(
            head("transfer-encoding: chunked", "content-length: 4") + b"0\r\n\r\n" + SMUGGLED, id="te-cl"
        ),
        pytest.param(head("transfer-encoding: xchunked", "content-length: 0") + SMUGGLED, id="te-nonsense"),
        pytest.param(head("transfer-encoding: chunked, identity") + b"0\r\n\r\n" + SMUGGLED, id="te-list"),
        pytest.param(head("transfer-encoding : chunked") + b"0\r\n\r\n" + SMUGGLED, id="space-before-colon"),
        pytest.param(
            head("x-a: 1", " transfer-encoding: chunked", "content-length: 0") + SMUGGLED, id="obs-fold"
        ),
        pytest.param(head("content-length: 0\rx: y") + SMUGGLED, id="bare-cr"),
        pytest.param(head("content-length: +0") + SMUGGLED, id="plus-length"),
        pytest.param(head("content-length: 0, 5") + SMUGGLED, id="length-list"),
        pytest.param(head("x-\x00a: 1") + SMUGGLED, id="nul-in-a-name"),
    ],
)
def test_a_request_of_two_readings_is_refused_and_nothing_after_it_is_served(
    small: Scene, sent: bytes
) -> None:
    """One 4xx and the end of the connection: what follows is never answered as a request of its own."""
    got = exchange(small, sent)
    assert statuses(got)
    assert all(400 <= status < 500 for status in statuses(got)[:1])
    assert b'"object":"list"' not in got


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["x-long: " + "a" * 70_000], id="64-kb-header"),
        pytest.param([f"x-{i}: " + "a" * 80 for i in range(1000)], id="1000-headers"),
        pytest.param(["cookie: " + "a" * 1_000_000], id="1-mb-cookie"),
    ],
)
def test_headers_without_measure_are_refused(small: Scene, lines: list[str]) -> None:
    """431 at the edge, before the body is read, and the connection ends."""
    got = exchange(small, head(*lines, "content-length: 1000000"), b"{")
    assert statuses(got) == [431]
    assert b'"code":"headers_too_large"' in got


def test_two_requests_on_one_connection_stay_two(scene: Callable[..., Scene]) -> None:
    """Keep-alive after a refused body: the next request on the socket is the next request, byte for byte."""
    s = scene()
    bad, good = b'{"model":', BODY
    sent = b"".join(head(f"content-length: {len(body)}") + body for body in (bad, good))
    got = exchange(s, sent + b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert statuses(got) == [400, 200, 200]
    assert len(s.local.requests) == 1


# I8: nothing is inflated.


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity", "x-gzip"])
def test_a_compressed_body_is_415_and_never_inflated(small: Scene, coding: str) -> None:
    """415 for every coding; 40 MB of zeros in 40 KB stay 40 KB."""
    bomb = gzip.compress(b" " * 40_000_000)
    before = psutil.Process().memory_info().rss
    answer = httpx2.post(
        small.url + CHAT, content=bomb, headers=_JSON | {"content-encoding": coding}, timeout=WAIT_S
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert psutil.Process().memory_info().rss - before < 20 << 20


def test_gzip_bytes_without_the_header_are_no_json(small: Scene) -> None:
    answer = httpx2.post(small.url + CHAT, content=gzip.compress(BODY), headers=_JSON, timeout=WAIT_S)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


_JSON: dict[str, Any] = {"content-type": "application/json"}
