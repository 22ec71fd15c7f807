"""A moving window: at most so many units within any 60 seconds. Knows no clock and no keys.

Not the window of the `limits` package: that keeps one entry per unit, which for tokens is millions, and cannot
take a reservation back.
"""

from collections import deque
from dataclasses import dataclass

SECONDS = 60.0


@dataclass(slots=True)
class Taken:
    """One reservation in a window."""

    at: float
    amount: int


class Window:
    """What was taken within the last minute. Every method gets the time, in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._taken: deque[Taken] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """Units taken within the minute before `now`."""
        while self._taken and self._taken[0].at <= now - SECONDS:
            self._used -= self._taken.popleft().amount
        return self._used

    def take(self, amount: int, limit: int, now: float) -> Taken | None:
        """Reserve `amount`, or None when it does not fit below `limit`."""
        if self.used(now) + amount > limit:
            return None
        taken = Taken(now, amount)
        self._taken.append(taken)
        self._used += amount
        return taken

    def correct(self, taken: Taken, actual: int, now: float) -> None:
        """Make a reservation what it turned out to be; one older than the window counts no longer."""
        self.used(now)
        if taken.at > now - SECONDS:
            self._used += actual - taken.amount
            taken.amount = actual

    def wait(self, amount: int, limit: int, now: float) -> float | None:
        """Seconds until `amount` fits below `limit`; None when it never will."""
        if amount > limit:
            return None
        over = self.used(now) + amount - limit
        ends = now
        for taken in self._taken:
            if over <= 0:
                break
            over -= taken.amount
            ends = taken.at + SECONDS
        return ends - now
