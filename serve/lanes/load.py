"""How free each lane is, as this router sees it: own calls in flight, recent failures, live replicas, spills.

Knows the clock. Does not choose.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from serve.config import Config, DispatchConfig, EngineLane, Lane
from serve.decision import LaneState
from serve.lane_errors import LaneError
from serve.lanes.health import Health
from serve.lanes.place import UNMEASURED_S, Call, Place
from serve.retries import Blame, rule
from serve.window import Window

SPILL_WINDOW_S = 10.0


@dataclass(slots=True)
class _Seen:
    """What is known of one lane. Lanes of one engine share its place."""

    place: Place
    health: Health
    recent_spills: Window
    in_flight: int = 0
    spilled: int = 0


@dataclass(slots=True)
class LaneLoad:
    """Mutable on purpose and owned by one router process: what it knows of its lanes right now."""

    config: Config
    clock: Callable[[], float] = time.monotonic
    _settings: DispatchConfig = field(init=False)
    _seen: dict[str, _Seen] = field(init=False)
    _off: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._settings = self.config.dispatch
        places = {_place_name(lane): Place.of(lane, self.config, self.clock) for lane in self.config.lanes}
        self._seen = {
            lane.name: _Seen(
                places[_place_name(lane)],
                Health(self._settings, self.clock),
                Window(SPILL_WINDOW_S, self.clock),
            )
            for lane in self.config.lanes
        }
        self._off = {lane.name: why for lane in self.config.lanes if (why := _off(lane))}

    def states(self, interactive: bool = False) -> Mapping[str, LaneState]:
        """Every lane's state now, for a request that streams (`interactive`) or one that can wait longer."""
        return {lane.name: self.state(lane, interactive) for lane in self.config.lanes}

    def state(self, lane: Lane, interactive: bool = False) -> LaneState:
        """One lane's state now."""
        seen = self._seen[lane.name]
        if lane.name in self._off:
            return LaneState.OFF
        if seen.place.absent or seen.health.down:
            return LaneState.DOWN
        settings = self._settings
        limit = settings.queue_wait_s if interactive else settings.queue_wait_unary_s
        return LaneState.FULL if seen.place.full(limit) else LaneState.READY

    def is_ready(self, name: str) -> bool:
        """Whether the lane would take an interactive call at once."""
        return self.state(self.config.lane(name), interactive=True) is LaneState.READY

    def note(self, lane: Lane) -> str:
        """Why the lane is not ready, in words; empty when it is."""
        state = self.state(lane)
        if state is LaneState.OFF:
            return self._off[lane.name]
        seen = self._seen[lane.name]
        why = seen.place.note if seen.place.absent else seen.health.note
        return {LaneState.DOWN: why or "failing", LaneState.FULL: "full"}.get(state, "")

    def numbers(self, name: str) -> Mapping[str, float]:
        """The lane in numbers, for /readyz."""
        seen = self._seen[name]
        return {
            "in_flight": seen.in_flight,
            "predicted_wait_s": round(seen.place.predicted_wait_s, 3),
            "overflows": seen.place.overflows,
            "spilled": seen.spilled,
            "spills_per_s": round(self.spill_rate(name), 3),
            "ejections": seen.health.ejections,
            "ejected_until_s": round(seen.health.seconds_left, 3),
        }

    def absent(self, name: str) -> bool:
        """Nobody is there to take a call: the lane's engine has no running replica."""
        return self._seen[name].place.absent

    def replicas(self, name: str) -> int:
        """How many can answer for this lane, as far as is known."""
        return self._seen[name].place.replicas

    def in_flight(self, name: str) -> int:
        """Calls of this router that the lane is working on."""
        return self._seen[name].in_flight

    def brimful(self, name: str) -> bool:
        """As many calls as the lane takes and queues are in flight: one more would be refused."""
        return self._seen[name].place.brimful

    def has_room(self, name: str) -> bool:
        """By this router's own count a slot is free, so one more call should be taken at once."""
        return self._seen[name].place.has_room

    def calm(self, name: str) -> bool:
        """At least half of its slots are free, and nothing had to go elsewhere a short while ago."""
        return self._seen[name].place.calm

    def overflows(self, name: str) -> bool:
        """Requests went past this lane a short while ago, so it is given less until none do."""
        return self._seen[name].place.overflows

    def together(self, one: str, other: str) -> bool:
        """Whether the same engine answers for both lanes: where one waits, the other waits as well."""
        return self._seen[one].place is self._seen[other].place

    @contextmanager
    def call(self, name: str) -> Iterator[Call]:
        """Count one call for as long as the block runs."""
        seen = self._seen[name]
        seen.in_flight += 1
        try:
            with seen.place.call() as call:
                yield call
        finally:
            seen.in_flight -= 1

    # Health.

    @contextmanager
    def trial(self, name: str) -> Iterator[bool]:
        """One attempt. True when it decides whether an ejected lane comes back."""
        with self._seen[name].health.trial() as mine:
            yield mine

    def on_trial(self, name: str) -> bool:
        """Somebody else is finding out whether the lane has recovered."""
        return self._seen[name].health.on_trial

    def failed(self, name: str, error: LaneError) -> None:
        """The lane failed an attempt; the table of retries says what that means for its health."""
        health, blame = self._seen[name].health, rule(error).blame
        match blame:
            case Blame.ALIVE:
                health.alive()
            case Blame.COUNTS:
                health.failed(error.message)
            case Blame.EJECTS:
                health.eject(error.message)
            case Blame.RESTS:
                wait = error.retry_after_s
                self.cool(name, self._settings.cooldown_s if wait is None else wait, error.message)

    def cool(self, name: str, seconds: float, why: str) -> None:
        """Try this lane last for a while; an answer of it ends that."""
        self._seen[name].health.rest(seconds, why)

    def well(self, name: str, stream: bool, seconds: float, work: float) -> None:
        """The lane answered: its first words (`stream`) or all of it, after `seconds`, for so much work."""
        self._seen[name].health.well("stream" if stream else "whole", seconds, work)

    # Spills.

    def spill(self, name: str) -> None:
        """A request goes past this lane because it is full or not there."""
        seen = self._seen[name]
        seen.spilled += 1
        seen.recent_spills.add()
        seen.place.spilled()

    def spill_rate(self, name: str) -> float:
        """Spilled requests per second, over the last 10 s."""
        return self._seen[name].recent_spills.count() / SPILL_WINDOW_S

    def spills(self) -> Mapping[str, int]:
        """Requests that went past each engine since this router began; only ever more."""
        total = dict.fromkeys(self.config.engines, 0)
        for lane in self.config.lanes:
            if isinstance(lane, EngineLane):
                total[lane.engine] += self._seen[lane.name].spilled
        return total

    def service_s(self, engine: str) -> float:
        """Mean seconds that one answer takes a slot of an engine; as configured until one was measured."""
        lanes = (lane for lane in self.config.lanes if isinstance(lane, EngineLane) and lane.engine == engine)
        return next((self._seen[lane.name].place.service_s for lane in lanes), UNMEASURED_S)

    # What others report.

    def follow(self, settings: DispatchConfig) -> None:
        """Judge by other settings from now on; what is known of the lanes stays."""
        self._settings = settings
        for seen in self._seen.values():
            seen.health.follow(settings)
            seen.place.overflow = settings.overflow

    def switched_off(self, lanes: Mapping[str, str]) -> None:
        """What CloudProxy says of its lanes: it alone holds the keys."""
        self._off = dict(lanes)

    def engine(self, engine: str, replicas: int, note: str) -> None:
        """What Serve says of one engine's replicas."""
        for lane in self.config.lanes:
            if isinstance(lane, EngineLane) and lane.engine == engine:
                self.report(lane.name, replicas, note)

    def report(self, name: str, replicas: int, note: str) -> None:
        """What Serve says of the replicas behind one lane."""
        self._seen[name].place.report(replicas, note)


def _place_name(lane: Lane) -> tuple[str, str]:
    return ("engine", lane.engine) if isinstance(lane, EngineLane) else ("lane", lane.name)


def _off(lane: Lane) -> str | None:
    return None if isinstance(lane, EngineLane) else lane.off_because
