"""How free each lane is, as this router sees it: own calls in flight, recent failures, live replicas.

Knows the clock. Does not choose.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from serve.config import Config, EngineLane, Lane
from serve.policy import LaneState

LONGEST_COOLDOWN_S = 300.0


@dataclass(slots=True)
class _Seen:
    in_flight: int = 0
    spilled: int = 0
    replicas: int | None = None
    down_until: float = 0.0
    ready: bool = True
    note: str = ""


@dataclass(slots=True)
class LaneLoad:
    """Mutable on purpose and owned by one router process: what it knows of its lanes right now."""

    config: Config
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, _Seen] = field(init=False)
    _off: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = {lane.name: _Seen() for lane in self.config.lanes}
        self._off = {lane.name: why for lane in self.config.lanes if (why := _off(lane))}

    def states(self) -> Mapping[str, LaneState]:
        """Every lane's state now."""
        return {lane.name: self.state(lane) for lane in self.config.lanes}

    def state(self, lane: Lane) -> LaneState:
        """One lane's state now."""
        seen = self._seen[lane.name]
        if lane.name in self._off:
            return LaneState.OFF
        if not seen.ready or seen.down_until > self.clock():
            return LaneState.DOWN
        return LaneState.FULL if self._busy(lane) >= self._capacity(lane) else LaneState.READY

    def note(self, lane: Lane) -> str:
        """Why the lane is not ready, in words; empty when it is."""
        state = self.state(lane)
        if state is LaneState.OFF:
            return self._off[lane.name]
        seen = self._seen[lane.name]
        return {LaneState.DOWN: seen.note or "failing", LaneState.FULL: "full"}.get(state, "")

    def absent(self, name: str) -> bool:
        """Nobody is there to take a call: the lane's engine has no running replica."""
        return not self._seen[name].ready

    def in_flight(self, name: str) -> int:
        """Calls of this router that the lane is working on."""
        return self._seen[name].in_flight

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Count one call for as long as the block runs."""
        self._seen[name].in_flight += 1
        try:
            yield
        finally:
            self._seen[name].in_flight -= 1

    def spill(self, name: str) -> None:
        """A call that this lane should have answered goes past it, because it is full or not there."""
        self._seen[name].spilled += 1

    def spills(self) -> Mapping[str, int]:
        """Calls that went past each engine since this router began; only ever more."""
        total = dict.fromkeys(self.config.engines, 0)
        for lane in self.config.lanes:
            if isinstance(lane, EngineLane):
                total[lane.engine] += self._seen[lane.name].spilled
        return total

    def cool(self, name: str, seconds: float, why: str) -> None:
        """Try this lane last for a while."""
        seen = self._seen[name]
        seen.down_until = max(seen.down_until, self.clock() + min(seconds, LONGEST_COOLDOWN_S))
        seen.note = why

    def well(self, name: str) -> None:
        """The lane answered: forget what it did wrong."""
        self._seen[name].down_until = 0.0

    def switched_off(self, lanes: Mapping[str, str]) -> None:
        """What CloudProxy says of its lanes: it alone holds the keys."""
        self._off = dict(lanes)

    def engine(self, engine: str, replicas: int, note: str) -> None:
        """What Serve says of one engine's replicas."""
        for lane in self.config.lanes:
            if isinstance(lane, EngineLane) and lane.engine == engine:
                self._seen[lane.name].ready = replicas > 0
                self._seen[lane.name].replicas = replicas
                self._seen[lane.name].note = note

    def _busy(self, lane: Lane) -> int:
        """Calls in flight at what answers for this lane: lanes may share an engine."""
        if not isinstance(lane, EngineLane):
            return self._seen[lane.name].in_flight
        sharing = (x for x in self.config.lanes if isinstance(x, EngineLane) and x.engine == lane.engine)
        return sum(self._seen[x.name].in_flight for x in sharing)

    def _capacity(self, lane: Lane) -> int:
        if not isinstance(lane, EngineLane):
            return lane.max_in_flight
        engine = self.config.engines[lane.engine]
        at_first = engine.autoscaling.min_replicas if engine.autoscaling else 1
        seen = self._seen[lane.name].replicas
        replicas = at_first if seen is None else seen
        return engine.max_ongoing_requests * max(1, replicas) + engine.max_queued_requests


def _off(lane: Lane) -> str | None:
    return None if isinstance(lane, EngineLane) else lane.off_because
