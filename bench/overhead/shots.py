"""One burst of requests at one router: times at the client, CPU time of the router's processes, its memory."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat

import aiohttp

from bench.overhead.rig import Runner

TEXT = "The committee compared the two drafts line by line and kept what both of them agreed on. "
LONGEST_S = 60.0
GIVE_UP = 20
"""So many failures of one burst end it: a peer that hangs must not hold up the others."""
CHARS_PER_TOKEN = 4.94  # of TEXT in o200k_base


@dataclass(frozen=True, slots=True)
class Cell:
    """What is asked: chunks of the stream (0: not a stream), tokens of the prompt, requests in flight."""

    chunks: int
    tokens: int
    concurrency: int

    @property
    def name(self) -> str:
        """For tables."""
        shape = f"{self.chunks} chunks" if self.chunks else "unary"
        return f"{shape}, {self.tokens / 1000:g}k tokens, c={self.concurrency}"


@dataclass(slots=True)
class Burst:
    """What a router did with the bursts of one cell. CPU time is without what it spends when idle."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    fault: str = ""
    wall_s: float = 0.0
    cpu_ms: float = 0.0
    rss_mib: float = 0.0

    def add(self, other: "Burst") -> None:
        """The next round of the same cell."""
        self.seconds += other.seconds
        self.failed += other.failed
        self.fault = self.fault or other.fault
        self.wall_s += other.wall_s
        self.cpu_ms += other.cpu_ms
        self.rss_mib = other.rss_mib


async def burst(runner: Runner, cell: Cell, requests: int) -> Burst:
    """`requests` of one cell, closed loop."""
    body, headers = body_of(runner, cell), {"content-type": "application/json", **runner.headers}
    found, queue = Burst(), repeat(None, requests)
    connector = aiohttp.TCPConnector(limit=cell.concurrency)
    longest = aiohttp.ClientTimeout(total=LONGEST_S)
    async with aiohttp.ClientSession(connector=connector, trust_env=False, timeout=longest) as session:
        before, started = runner.cpu_ms(), time.perf_counter()
        await asyncio.gather(
            *(
                _worker(session, runner.url, body, headers, cell, queue, found)
                for _ in range(cell.concurrency)
            )
        )
        found.wall_s = time.perf_counter() - started
        spent = sum(ms - before.get(pid, 0.0) for pid, ms in runner.cpu_ms().items())
    found.cpu_ms = spent - runner.idle_ms_per_s * found.wall_s
    found.rss_mib = runner.rss_mib()
    return found


async def _worker(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: dict[str, str],
    cell: Cell,
    queue: Iterator[None],
    found: Burst,
) -> None:
    for _ in queue:
        if found.failed >= GIVE_UP:
            return
        started = time.perf_counter()
        try:
            async with session.post(f"{url}/chat/completions", data=body, headers=headers) as response:
                answer = await response.read()
            fault = _fault(response.status, answer, cell)
        except (aiohttp.ClientError, TimeoutError) as error:
            fault = type(error).__name__
        if fault:
            found.failed += 1
            found.fault = found.fault or fault
        else:
            found.seconds.append(time.perf_counter() - started)


def _fault(status: int, answer: bytes, cell: Cell) -> str:
    if status != 200:
        return f"status {status}"
    if cell.chunks:
        whole = answer.count(b"word ") >= cell.chunks and b"[DONE]" in answer[-400:]
        return "" if whole else "a stream without all its words and its end mark"
    return "" if b'"one two"' in answer else "another answer than the upstream's"


def body_of(runner: Runner, cell: Cell) -> bytes:
    """What is sent: `chunks=N` in the prompt tells the upstream how much to say."""
    text = (TEXT * int(cell.tokens * CHARS_PER_TOKEN / len(TEXT) + 1)) + f" chunks={cell.chunks}"
    body: dict[str, object] = {"model": runner.model, "messages": [{"role": "user", "content": text}]}
    if cell.chunks:
        body["stream"] = True
    return json.dumps(body).encode()
