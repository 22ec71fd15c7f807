"""Sends what is planned: in a closed loop, or at the planned times. Does not know what is planned.

In the open loop a request is due at its time whatever became of those before it. All its times count from then, so
that a server that stalls is charged for every request that had to wait for it (no coordinated omission).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import httpx2

from bench.client import Sample, send
from bench.load.plan import Planned


@dataclass(slots=True)
class Run:
    """What has been measured so far; whole even when Ctrl-C ends the run."""

    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


class Driver:
    """One run against one server; `seen` is called after each answer."""

    def __init__(self, client: httpx2.AsyncClient, run: Run, seen: Callable[[Sample], None]) -> None:
        self._client, self._run, self._seen = client, run, seen
        self._started = 0.0

    async def closed(self, planned: Iterable[Planned], workers: int) -> None:
        """Each worker asks again as soon as it has its answer."""
        queue = iter(planned)
        await self._timed([self._work(queue) for _ in range(workers)])

    async def open(self, planned: Iterable[Planned], most: int) -> None:
        """Each request at its time, or as soon after it as fewer than `most` are under way."""
        await self._timed([self._release(planned, asyncio.Semaphore(most))])

    async def _timed(self, works: list["asyncio._CoroutineLike[None]"]) -> None:
        self._started = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in works:
                    tasks.create_task(work)
        finally:
            self._run.seconds = time.perf_counter() - self._started

    async def _work(self, queue: Iterator[Planned]) -> None:
        for one in queue:
            await self._ask(one, self._passed())

    async def _release(self, planned: Iterable[Planned], room: asyncio.Semaphore) -> None:
        async with asyncio.TaskGroup() as tasks:
            for one in planned:
                assert one.at is not None
                await asyncio.sleep(max(0.0, one.at - self._passed()))
                await room.acquire()
                task = tasks.create_task(self._ask(one, one.at))
                task.add_done_callback(lambda _: room.release())

    async def _ask(self, one: Planned, due: float) -> None:
        late = max(0.0, self._passed() - due)
        sample = await send(self._client, one.prompt.kind, one.prompt.body)
        sample.at, sample.late_s = due, late
        self._run.samples.append(sample)
        self._seen(sample)

    def _passed(self) -> float:
        return time.perf_counter() - self._started
