"""Outcomes to one row of figures. Pure: no clock, no I/O."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.chaos.traffic import Outcome
from bench.summary import percentiles

SLOW_FLOOR_S = 1.0


@dataclass(slots=True)
class Row:
    """One fault and what the client saw of it.

    lost        neither a right answer nor a documented error, after the SDK's own retries
    errors      documented errors the client saw
    fell_back   requests that another lane than the first answered, which is what a fault should cost at most
    retried     requests for which the SDK had to ask again
    p50, p99    seconds of all requests, whatever came of them
    recovery_s  the longest time from a strike to the end of the last request it disturbed
    back_s      from the (last) strike until the part was there again; None where nothing was killed
    seen        whatever else the fault counts
    broken      promises that did not hold
    """

    fault: str
    requests: int
    lost: int
    errors: int
    fell_back: int
    retried: int
    p50: float
    p99: float
    recovery_s: float
    strikes: int
    in_flight: int
    codes: dict[str, int]
    lanes: dict[str, int]
    back_s: float | None = None
    invisible: bool = True
    seen: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def row(fault: str, outcomes: Sequence[Outcome], strikes: Sequence[float], in_flight: int) -> Row:
    """The figures of one run. `outcomes` holds the healthy time before the first strike too."""
    times = percentiles([outcome.seconds for outcome in outcomes]) or {"p50": 0.0, "p99": 0.0}
    return Row(
        fault=fault,
        requests=len(outcomes),
        lost=sum(outcome.verdict == "lost" for outcome in outcomes),
        errors=sum(outcome.verdict == "error" for outcome in outcomes),
        fell_back=sum(outcome.attempts > 1 for outcome in outcomes),
        retried=sum(outcome.retries > 0 for outcome in outcomes),
        p50=times["p50"],
        p99=times["p99"],
        recovery_s=recovery(outcomes, strikes),
        strikes=len(strikes),
        in_flight=in_flight,
        codes=dict(Counter(outcome.code for outcome in outcomes if outcome.code).most_common()),
        lanes=dict(Counter(outcome.lane for outcome in outcomes if outcome.lane).most_common()),
    )


def recovery(outcomes: Sequence[Outcome], strikes: Sequence[float]) -> float:
    """Longest time from a strike to the end of the last wrong or slow request begun before the next strike."""
    slow = slow_from(outcomes, strikes)
    bad = [outcome for outcome in outcomes if outcome.verdict != "right" or outcome.seconds > slow]
    longest = 0.0
    for strike, following in zip(strikes, [*strikes[1:], float("inf")], strict=True):
        ends = [x.ended for x in bad if x.started < following and x.ended > strike]
        longest = max([longest, *(end - strike for end in ends)])
    return round(longest, 2)


def slow_from(outcomes: Sequence[Outcome], strikes: Sequence[float]) -> float:
    """Seconds from which a request counts as disturbed: four times the healthy median, at least one second."""
    healthy = sorted(x.seconds for x in outcomes if not strikes or x.ended < strikes[0])
    return max(SLOW_FLOOR_S, 4 * healthy[len(healthy) // 2]) if healthy else SLOW_FLOOR_S


def visible_share(rows: Sequence[Row]) -> tuple[int, int]:
    """Of the rows whose fault no client should notice: requests that failed visibly, and all requests."""
    silent = [row for row in rows if row.invisible]
    return sum(row.lost + row.errors for row in silent), sum(row.requests for row in silent)


def slope(points: Sequence[tuple[int, float]]) -> float:
    """Least squares: what `y` grows by per step of `x`. Zero for fewer than two points."""
    if len(points) < 2:
        return 0.0
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0
