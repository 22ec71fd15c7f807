"""How often something happened lately.

Knows a clock and counts in tenths of its window. Does not know what it counts.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

PARTS = 10


@dataclass(slots=True)
class Window:
    """A counter that forgets what is older than `seconds`; it holds at most PARTS + 1 numbers."""

    seconds: float
    clock: Callable[[], float]
    _parts: deque[list[int]] = field(default_factory=deque)

    def add(self) -> None:
        """It happened now."""
        part = self._now()
        if self._parts and self._parts[-1][0] == part:
            self._parts[-1][1] += 1
        else:
            self._parts.append([part, 1])
        self._forget()

    def count(self) -> int:
        """How often it happened in the window that ends now."""
        self._forget()
        return sum(count for _, count in self._parts)

    def clear(self) -> None:
        """Forget everything."""
        self._parts.clear()

    def _now(self) -> int:
        return int(self.clock() * PARTS / self.seconds)

    def _forget(self) -> None:
        oldest = self._now() - PARTS
        while self._parts and self._parts[0][0] <= oldest:
            self._parts.popleft()
