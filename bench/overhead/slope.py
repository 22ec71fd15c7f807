"""Memory of one router over many requests: the least-squares slope without the first quarter."""

import numpy as np

from bench.overhead.rig import Runner
from bench.overhead.shots import Cell, burst

SAMPLES = 20
WARM_SHARE = 0.25


async def rss_slope(runner: Runner, requests: int) -> float:
    """KiB per 1,000 requests, every second burst a stream."""
    sizes = []
    for turn in range(SAMPLES):
        await burst(runner, Cell(20 * (turn % 2), 300, 8), max(1, requests // SAMPLES))
        sizes.append(runner.rss_mib() * 1024)
    kept = sizes[int(SAMPLES * WARM_SHARE) :]
    slope = np.polynomial.polynomial.polyfit(range(len(kept)), kept, 1)[1]
    return round(float(slope) * SAMPLES / requests * 1000, 1)
