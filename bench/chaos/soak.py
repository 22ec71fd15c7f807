"""Memory of the Routers over many requests. A slope near zero means that nothing is kept of a request."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from bench.chaos.figures import slope
from bench.chaos.rig import Rig
from bench.chaos.traffic import Load, Traffic, client

SAMPLES = 40
WARM_SHARE = 0.25
PARTS = ("Router", "CloudProxy")


@dataclass(slots=True)
class Soak:
    """`rss_mib` holds [requests so far, MiB] per part; `kib_per_1000` the slope after the first quarter."""

    requests: int
    lost: int
    rss_mib: dict[str, list[tuple[int, float]]]
    kib_per_1000: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


async def soak(rig: Rig, requests: int) -> Soak:
    """Ask `requests` times, and look at memory along the way. Every lane answers at once."""
    for lane in rig.lanes:
        await asyncio.to_thread(lane.play, "ok")
    seen: dict[str, list[tuple[int, float]]] = {part: [] for part in PARTS}
    async with client(rig.url, key=rig.key) as sdk:
        traffic = Traffic(sdk, Load())
        asking = asyncio.create_task(traffic.run(lambda: len(traffic.outcomes) < requests))
        step = max(1, requests // SAMPLES)
        while not asking.done():
            if len(traffic.outcomes) >= len(seen[PARTS[0]]) * step:
                for part in PARTS:
                    seen[part].append((len(traffic.outcomes), await asyncio.to_thread(rig.rss_mib, part)))
            await asyncio.sleep(0.05)
        await asking
    lost = sum(outcome.verdict != "right" for outcome in traffic.outcomes)
    return Soak(len(traffic.outcomes), lost, seen, {part: _slope(points) for part, points in seen.items()})


def _slope(points: list[tuple[int, float]]) -> float:
    settled = points[int(len(points) * WARM_SHARE) :]
    return round(slope(settled) * 1024 * 1000, 1)
