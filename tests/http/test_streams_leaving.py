"""Clients that leave or stop reading: the upstream is let go and nothing stays behind (rows S6, S7, S8)."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Scene
from tests.support.rawclient import OPENAI, connect, encode, post
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

JSON = {"content-type": "application/json"}
WITHIN = 20.0  # a limit for waiting, not a promise: the machine may be busy
# When the client leaves: the fault to play, whether to stream, and what it waits for before it leaves.
MOMENTS = {"before the first token": ("slow_first_600000", True), "unary": ("hang", False),
           "mid-stream": ("slow_chunks_100+long_6000", True)}  # fmt: skip


@pytest.fixture
def leaving() -> Iterator[tuple[Scene, dict[str, Any]]]:
    """A scene whose first lane of either dialect does as it is told, and what runs inside it."""
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        models = {"local-general": "as_told", "cloud-anthropic": "as_told"}
        inside: dict[str, Any] = {}
        url = stack.enter_context(serving(config(local.url, cloud.url, models=models), inside))
        yield Scene(url, stack.enter_context(client(url)), local, cloud), inside


def begin(scene: Scene, fault: str, streamed: bool, prefer: str = "") -> socket.socket:
    """Send one request and do not read."""
    body = {"model": "auto", "stream": streamed, "messages": [{"role": "user", "content": f"{fault} hello"}]}
    sock = connect(scene.url)
    sock.sendall(encode(OPENAI, body, JSON | ({"x-pointsman-prefer": prefer} if prefer else {})))
    return sock


def leave_all(scene: Scene, upstream: ThreadedUpstream, moment: str, count: int, prefer: str = "") -> None:
    """`count` clients at once, each gone as soon as the moment has come for it."""
    fault, streamed = MOMENTS[moment]
    upstream.clear()
    sockets = [begin(scene, fault, streamed, prefer) for _ in range(count)]
    upstream.wait_until(lambda: len(upstream.requests) == count, WITHIN)
    for sock in sockets:
        if moment == "mid-stream":
            assert sock.recv(1), "the answer has begun"
        sock.close()
    upstream.wait_until(lambda: all(r.outcome == "client_closed" for r in upstream.requests), WITHIN)


def in_flight(url: str) -> int:
    lanes = httpx2.get(f"{url}/readyz", timeout=60).json()["lanes"].values()
    return sum(lane["in_flight"] for lane in lanes)


def wait_idle(url: str) -> None:
    until = time.monotonic() + WITHIN
    while in_flight(url):
        assert time.monotonic() < until, "a lane is still busy with a client that has left"
        time.sleep(0.01)


@pytest.mark.parametrize("prefer", ["", "tier3"], ids=["openai", "anthropic"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_leaves_closes_the_upstream(
    leaving: tuple[Scene, dict[str, Any]], moment: str, prefer: str
) -> None:
    """S6: before the first token, in mid-stream and without a stream: the upstream is closed, 100 of 100."""
    scene, _ = leaving
    upstream = scene.cloud if prefer else scene.local
    for _ in range(4):
        leave_all(scene, upstream, moment, 25, prefer)
    wait_idle(scene.url)
    other = scene.local if prefer else scene.cloud
    assert not other.requests, "nobody else was asked in the name of a client that had left"


def test_a_thousand_departures_leave_nothing_behind(leaving: tuple[Scene, dict[str, Any]]) -> None:
    """S7: after 1,000 aborts no lane is busy, no task runs on and no socket stays open."""
    scene, inside = leaving
    for moment in MOMENTS:
        leave_all(scene, scene.local, moment, 10)
    wait_idle(scene.url)
    tasks, files = settled(inside)
    for i in range(40):
        leave_all(scene, scene.local, list(MOMENTS)[i % 3], 25)
    wait_idle(scene.url)
    tasks_now, files_now = settled(inside)
    assert tasks_now <= tasks
    assert files_now <= files + 2
    answer = scene.ask.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content


def settled(inside: dict[str, Any]) -> tuple[int, int]:
    """Tasks of the router's loop and open files of this process, once they stop falling."""
    seen = (10**9, 10**9)
    for _ in range(100):
        gc.collect()
        time.sleep(0.1)
        now = (len(asyncio.all_tasks(inside["loop"])), len(os.listdir("/proc/self/fd")))
        if now >= seen:
            return now
        seen = now
    return seen


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_readers_that_stall_cost_little_and_nobody_else() -> None:
    """S8: 50 clients that stop reading 64 MB streams: memory grows by 50 MB at most, others are served."""
    with ExitStack() as stack:
        upstream = stack.enter_context(apart())
        models = {"local-general": "as_told"}
        url = stack.enter_context(serving(config(upstream, upstream, models=models)))
        ask = stack.enter_context(client(url))
        hello: list[Any] = [{"role": "user", "content": "ok hello"}]
        ask.chat.completions.create(model="auto", messages=hello)
        before = rss()
        sockets = [stack.enter_context(stalled(url)) for _ in range(50)]
        wait_still()
        for _ in range(20):
            answer = ask.chat.completions.create(model="auto", messages=hello)
            assert answer.choices[0].message.content
        assert in_flight(url) == 50
        assert rss() - before < 50 << 20
        for sock in sockets:
            sock.close()
        wait_idle(url)


@contextmanager
def apart() -> Iterator[str]:
    """An upstream in a process of its own, so that its memory is not counted as ours."""
    command = [sys.executable, "-m", "tests.support.upstream", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def stalled(url: str) -> socket.socket:
    """A client with a tiny window that asks for a long stream and reads nothing of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    messages = [{"role": "user", "content": "huge_line_16+long_4000 hello"}]
    sock.sendall(encode(OPENAI, {"model": "auto", "stream": True, "messages": messages}, JSON))
    return sock


def wait_still() -> None:
    """Until this process has nothing more to do: what is unread then stands still all the way back."""
    until = time.monotonic() + 3 * WITHIN
    used = -1.0
    while time.process_time() - used > 0.1:
        assert time.monotonic() < until
        used = time.process_time()
        time.sleep(1)


def rss() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_reader_that_stalls_for_too_long_is_dropped(scene: Callable[..., Scene]) -> None:
    """S8: past `server.stall_s` the lane is freed, though the client still holds its socket."""
    s = scene(models={"local-general": "as_told"}, server={"stall_s": 0.5})
    with stalled(s.url):
        s.local.wait_until(lambda: bool(s.local.requests), WITHIN)
        s.local.wait_until(lambda: s.local.requests[0].outcome == "client_closed", WITHIN)
        wait_idle(s.url)
    assert (
        post(s.url, OPENAI, {"model": "auto", "messages": [{"role": "user", "content": "ok"}]}, JSON).status
        == 200
    )
