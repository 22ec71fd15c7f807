"""What answers for one lane or for several: an engine or an endpoint, its slots, its queue and its pace.

Knows counters and the clock. Does not know lanes, failures or where a request may go.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from serve.config import Config, EncoderLane, HttpLane, Lane, OverflowConfig

WEIGHT = 0.2
"""Of the newest answer in the moving average of service times."""

UNMEASURED_S = 1.0
"""Seconds one answer takes, until the first has been measured or where nothing is configured."""


@dataclass(slots=True)
class Call:
    """One call. Until somebody takes it, it waits in a queue and no work is done for it."""

    clock: Callable[[], float]
    taken_at: float | None = None

    def take(self) -> None:
        """Somebody took it."""
        self.taken_at = self.clock()


@dataclass(slots=True)
class Place:
    """`slots` calls run at a time on each replica, `queue` more wait; all by this router's own count.

    share      this router's part of the slots: the other routers fill the rest
    service_s  mean seconds that an answer takes a slot, recent ones weigh most; as configured until `measured`
    """

    slots: int
    queue: int
    share: float
    overflow: OverflowConfig
    clock: Callable[[], float]
    replicas: int = 1
    absent: bool = False
    note: str = ""
    in_flight: int = 0
    service_s: float = UNMEASURED_S
    measured: bool = False
    overflows_until: float = 0.0

    @classmethod
    def of(cls, lane: Lane, config: Config, clock: Callable[[], float]) -> "Place":
        """The place that answers for `lane`."""
        overflow = config.dispatch.overflow
        share = 1 / config.server.router_replicas
        if isinstance(lane, HttpLane):
            return cls(lane.max_in_flight, 0, 1, overflow, clock)
        if isinstance(lane, EncoderLane):
            slots, queue = lane.max_ongoing_requests, lane.max_queued_requests
            return cls(slots, queue, share, overflow, clock, lane.replicas)
        engine = config.engines[lane.engine]
        place = cls(engine.max_ongoing_requests, engine.max_queued_requests, share, overflow, clock)
        if engine.autoscaling is not None:
            place.replicas = max(1, engine.autoscaling.min_replicas)
            place.service_s = engine.autoscaling.service_s
        return place

    @property
    def brimful(self) -> bool:
        """One more call would be refused."""
        return self.in_flight >= self.slots * self.replicas + self.queue

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until one more call would be taken: nothing while a slot is free."""
        ahead = self.in_flight + 1 - self._own_slots
        return max(0.0, ahead * self.service_s / self._own_slots)

    @property
    def has_room(self) -> bool:
        """One more call should be taken at once."""
        return self.in_flight + 1 <= self._own_slots

    @property
    def calm(self) -> bool:
        """One more call would leave half of the slots free, and nothing had to go elsewhere lately."""
        return self.in_flight + 1 <= self._own_slots / 2 and not self.overflows

    @property
    def _own_slots(self) -> float:
        return max(1.0, self.slots * self.replicas * self.share)

    @property
    def overflows(self) -> bool:
        """Something had to go elsewhere a short while ago."""
        return self.clock() < self.overflows_until

    def full(self, limit_s: float) -> bool:
        """Whether a request that waits for at most `limit_s` should go elsewhere.

        While the place overflows, the limit is lower: else each answer would draw one request too many back.
        """
        limit = limit_s * self.overflow.low if self.overflows else limit_s
        return self.brimful or self.predicted_wait_s > limit

    @contextmanager
    def call(self) -> Iterator[Call]:
        """Count one call; the time between its taking and the end of the block is a service time."""
        call = Call(self.clock)
        self.in_flight += 1
        try:
            yield call
            if call.taken_at is not None:
                self._measure(self.clock() - call.taken_at)
        finally:
            self.in_flight -= 1

    def spilled(self) -> None:
        """A request went elsewhere."""
        self.overflows_until = self.clock() + self.overflow.dwell_s

    def report(self, replicas: int, note: str) -> None:
        """What Serve says of its replicas."""
        self.absent, self.note = replicas == 0, note
        self.replicas = max(1, replicas)

    def _measure(self, seconds: float) -> None:
        weight = WEIGHT if self.measured else 1.0
        self.service_s += weight * (seconds - self.service_s)
        self.measured = True
