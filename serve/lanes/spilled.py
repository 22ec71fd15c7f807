"""How many places of an engine the requests that spilled past it would have taken.

Little's law (J. D. C. Little, Operations Research 9(3), 1961): mean requests in a system = arrivals a second x
mean seconds each stays. Knows counters and the clock. Does not know who reads the answer.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from serve.lanes.base import LaneCall, LanePort, Piece

WEIGHT = 0.2


@dataclass(slots=True)
class ServiceTimes:
    """Mean seconds that a call keeps each engine busy: as configured until measured, recent calls weigh most."""

    mean_s: dict[str, float]
    _measured: set[str] = field(default_factory=set)

    def took(self, engine: str, seconds: float) -> None:
        """One call was answered after `seconds`."""
        weight = WEIGHT if engine in self._measured else 1.0
        self.mean_s[engine] += weight * (seconds - self.mean_s[engine])
        self._measured.add(engine)


class TimedLane:
    """A lane of an engine whose answered calls are timed. What said nothing did no work."""

    def __init__(
        self, lane: LanePort, engine: str, times: ServiceTimes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lane, self._engine, self._times, self._clock = lane, engine, times, clock

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        """The lane's own pieces. Raises what the lane raises."""
        started, said = self._clock(), False
        try:
            async with aclosing(self._lane.answer(call)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    said = said or bool(piece)  # an empty one only says that the call was taken
                    yield piece
        finally:
            if said:
                self._times.took(self._engine, self._clock() - started)


class SpilledDemand:
    """One router's spilled requests as concurrent requests, a mean over each engine's window of seconds."""

    def __init__(
        self, windows_s: Mapping[str, float], times: ServiceTimes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._windows_s, self._times, self._clock = windows_s, times, clock
        began = clock()
        self._seen: dict[str, deque[tuple[float, int]]] = {name: deque([(began, 0)]) for name in windows_s}

    def count(self, spills: Mapping[str, int]) -> dict[str, float]:
        """Concurrent requests by engine, given the counters now; only engines whose requests spilled lately."""
        now = self._clock()
        demand = {name: self._demand(name, spills.get(name, 0), now) for name in self._windows_s}
        return {name: value for name, value in demand.items() if value > 0}

    def _demand(self, engine: str, total: int, now: float) -> float:
        window_s, seen = self._windows_s[engine], self._seen[engine]
        seen.append((now, total))
        while len(seen) > 1 and seen[1][0] <= now - window_s:
            seen.popleft()
        spilled = total - seen[0][1]
        return spilled / window_s * self._times.mean_s[engine]
