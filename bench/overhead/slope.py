"""Memory of one router over many requests: the least-squares slope without the first quarter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.overhead.rig import Runner
from bench.overhead.shots import GIVE_UP, Cell, burst

SAMPLES = 20
WARM_SHARE = 0.25
CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class Slope:
    """KiB per 1,000 requests, or None and why: a router that stopped answering has no slope. Sizes are RSS in MiB."""

    kib_per_1000: float | None
    answered: int
    failed: int
    fault: str
    first_mib: float
    last_mib: float


async def rss_slope(runner: Runner, requests: int, tell: Callable[[str], None]) -> Slope:
    """Every second burst is a stream. Ends early once GIVE_UP requests, or as many as one burst has, have failed."""
    sizes, answered, failed, fault = [runner.rss_mib()], 0, 0, ""
    each = max(1, requests // SAMPLES)
    for turn in range(SAMPLES):
        found = await burst(runner, Cell(20 * (turn % 2), 300, CONCURRENCY), each)
        answered, failed = answered + len(found.seconds), failed + found.failed
        fault = fault or found.fault
        sizes.append(runner.rss_mib())
        tell(f"{answered} of {SAMPLES * each} answered, {failed} failed, {sizes[-1]:.0f} MiB")
        if failed >= min(GIVE_UP, each):
            return Slope(None, answered, failed, fault, sizes[0], sizes[-1])
    return Slope(_fitted(sizes[1:], each), answered, failed, fault, sizes[0], sizes[-1])


def _fitted(sizes: Sequence[float], each: int) -> float:
    kept = sizes[int(len(sizes) * WARM_SHARE) :]
    per_burst = np.polynomial.polynomial.polyfit(range(len(kept)), kept, 1)[1]
    return round(float(per_burst) * 1024 / each * 1000, 1) + 0.0  # never -0.0
