"""One fault while traffic runs: warm up, strike, wait, heal, count.

Knows the order of things. Does not know which fault it is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.chaos import figures
from bench.chaos.figures import Row
from bench.chaos.lanes import Lane
from bench.chaos.rig import Rig
from bench.chaos.traffic import Load, Traffic, client

HEAL_S = 120.0


class Unfair(Exception):
    """The strike would have hit nothing: a run that proves nothing must not look like one that does."""


@dataclass(slots=True)
class Scene:
    """What a fault works with."""

    rig: Rig
    traffic: Traffic
    seconds: float
    strikes: list[float] = field(default_factory=list)
    in_flight: int = 1 << 30
    back_s: float | None = None
    seen: dict[str, Any] = field(default_factory=dict)

    async def warm(self) -> None:
        """Until every worker's connection has carried two answers. Raises Unfair when nothing answers."""
        wanted, until = 2 * self.traffic.load.workers, time.monotonic() + 60
        while sum(outcome.verdict == "right" for outcome in self.traffic.outcomes) < wanted:
            if time.monotonic() > until:
                raise Unfair(f"no healthy traffic within 60 s: {self.traffic.outcomes[-3:]}")
            await asyncio.sleep(0.05)

    async def strike(self, blow: Callable[..., Any], *arguments: Any) -> Any:
        """Do it, with requests on their way. Raises Unfair when half of the workers are idle."""
        if self.traffic.in_flight < self.traffic.load.workers / 2:
            raise Unfair(f"only {self.traffic.in_flight} requests in flight")
        self.in_flight = min(self.in_flight, self.traffic.in_flight)
        self.strikes.append(time.monotonic())
        return await asyncio.to_thread(blow, *arguments)

    async def rest(self) -> None:
        """Until the fault has lasted as long as it should."""
        await asyncio.sleep(max(0.0, self.strikes[0] + self.seconds - time.monotonic()))

    async def back(self, part: str, victims: set[int], within: float = 90.0) -> None:
        """Until the part has all its processes again, others than `victims`."""
        struck = self.strikes[-1]
        while time.monotonic() < struck + within:
            alive = await asyncio.to_thread(self.rig.pids, part)
            if not victims & {*alive} and part not in await asyncio.to_thread(self.rig.missing):
                self.back_s = round(time.monotonic() - struck, 2)
                return
            await asyncio.sleep(0.25)
        self.seen["not back"] = part

    def busiest(self) -> Lane:
        """The local lane that answered last: the one whose death hits something."""
        recent = [x.lane for x in self.traffic.outcomes[-self.traffic.load.workers :]]
        return self.rig.spare if recent.count("local-b") > recent.count("local-a") else self.rig.local


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the suite.

    rows       of the reliability matrix
    seconds    how long it lasts at least
    invisible  whether a client of the SDK should notice nothing
    promises   what does not hold, in words
    """

    name: str
    rows: str
    does: str
    act: Callable[[Scene], Awaitable[None]]
    load: Load = field(default_factory=Load)
    seconds: float = 6.0
    invisible: bool = True
    needs_scout: bool = False
    promises: Callable[[Row], Iterator[str]] = lambda row: iter(())


async def warm_up(rig: Rig) -> None:
    """Answers that nobody counts: the first ones of a fresh Pointsman measure its start, not a fault."""
    async with client(rig.url, key=rig.key) as sdk:
        for _ in range(3):
            await Traffic(sdk, Load()).once(Load().workers)


async def play(fault: Fault, rig: Rig, seconds: float | None = None) -> Row:
    """Run one fault on a healthy rig and leave it healthy. Raises Unfair, StartFailed when it does not heal."""
    async with client(rig.url, key=rig.key) as sdk:
        traffic = Traffic(sdk, fault.load)
        scene = Scene(rig, traffic, fault.seconds if seconds is None else seconds)
        acting = asyncio.create_task(_act(fault, scene))
        try:
            await traffic.run(lambda: not acting.done())
            await acting
        finally:
            acting.cancel()
            await asyncio.to_thread(heal, rig)
    row = figures.row(fault.name, traffic.outcomes, scene.strikes, scene.in_flight)
    row.back_s, row.invisible, row.seen = scene.back_s, fault.invisible, row.seen | scene.seen
    row.broken = [*_always(row), *fault.promises(row)]
    return row


async def _act(fault: Fault, scene: Scene) -> None:
    await scene.warm()
    await fault.act(scene)
    await scene.rest()


def _always(row: Row) -> Iterator[str]:
    if row.lost:
        yield f"{row.lost} of {row.requests} lost"
    if row.invisible and row.errors:
        yield f"{row.errors} of {row.requests} clients saw an error"
    if part := row.seen.get("not back"):
        yield f"{part} did not come back"


def heal(rig: Rig) -> None:
    """Undo whatever was done and wait until everything is there again. Raises StartFailed."""
    for lane in rig.lanes:
        lane.thaw()
        lane.start()
        lane.play()
    rig.thaw("Scout")
    rig.fill_disk(False)
    rig.wait_ready(HEAL_S)
