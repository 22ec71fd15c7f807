"""How many places of an engine the requests that spilled past it would have taken.

Little's law (J. D. C. Little, Operations Research 9(3), 1961): mean requests in a system = arrivals a second x
mean seconds each stays. Knows counters and the clock. Does not know who reads the answer.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping


class SpilledDemand:
    """One router's spilled requests as concurrent requests, a mean over each engine's window of seconds.

    service_s  mean seconds that one call keeps an engine busy
    """

    def __init__(
        self,
        windows_s: Mapping[str, float],
        service_s: Callable[[str], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._windows_s, self._service_s, self._clock = windows_s, service_s, clock
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
        return spilled / window_s * self._service_s(engine)
