"""Whether one lane deserves to be tried first: failures in a row, failed share, brown-out, ejection, half-open.

Knows the clock. Does not know the lane, and takes it out of no chain: an ejected lane is tried last.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from serve.config import DispatchConfig
from serve.window import Window

Kind = Literal["stream", "whole"]
REMEMBERED = 64
"""Paces the median is taken of; a lane that stays slow becomes the new normal once half of them are slow."""


@dataclass(slots=True)
class Health:
    """Closed until ejected; ejected for a time; then half-open: one trial at a time decides."""

    config: DispatchConfig
    clock: Callable[[], float]
    note: str = ""
    _in_a_row: int = 0
    _slow_in_a_row: int = 0
    _failed: Window = field(init=False)
    _answered: Window = field(init=False)
    _paces: dict[Kind, deque[float]] = field(init=False)
    _ejections: int = 0
    _ejected: bool = False
    _ejected_until: float = 0.0
    _closed_at: float = 0.0
    _rests_until: float = 0.0
    _on_trial: bool = False

    def __post_init__(self) -> None:
        self.follow(self.config)
        self._paces = {"stream": deque(maxlen=REMEMBERED), "whole": deque(maxlen=REMEMBERED)}

    def follow(self, config: DispatchConfig) -> None:
        """Judge by other settings from now on; the failed share is counted anew."""
        self.config = config
        window_s = config.ejection.window_s
        self._failed, self._answered = Window(window_s, self.clock), Window(window_s, self.clock)

    @property
    def down(self) -> bool:
        """Whether the lane is to be tried last: ejected, on trial by somebody else, or resting."""
        return self.seconds_left > 0 or self.on_trial

    @property
    def seconds_left(self) -> float:
        """Until the lane may be tried in its turn again."""
        until = max(self._rests_until, self._ejected_until if self._ejected else 0)
        return max(0.0, until - self.clock())

    @property
    def half_open(self) -> bool:
        """The ejection has run its time and nobody has shown yet that the lane is well."""
        return self._ejected and self.clock() >= self._ejected_until

    @property
    def on_trial(self) -> bool:
        """Somebody is finding out right now; everybody else had better wait."""
        return self._on_trial and self.half_open

    @property
    def ejections(self) -> int:
        """Ejections that are not forgotten yet: the next one lasts that many times longer, plus once."""
        well_s = 0 if self._ejected else self.clock() - self._closed_at
        return max(0, self._ejections - int(well_s / self.config.ejection.window_s))

    @contextmanager
    def trial(self) -> Iterator[bool]:
        """One attempt. True when it is the one that decides over a half-open lane."""
        mine = self.half_open and not self._on_trial
        self._on_trial = self._on_trial or mine
        try:
            yield mine
        finally:
            if mine:
                self._on_trial = False

    def failed(self, why: str) -> None:
        """The lane failed an attempt."""
        self._failed.add()
        if self._ejected and not self.half_open:
            return
        self._in_a_row += 1
        settings = self.config.ejection
        results = self._failed.count() + self._answered.count()
        too_often = results >= settings.at_least and self._failed.count() >= settings.share * results
        if self.half_open or self._in_a_row >= settings.failures or too_often:
            self.eject(why)

    def alive(self) -> None:
        """The lane answered."""
        self._answered.add()
        self._in_a_row = 0
        self._rests_until = 0.0
        if self.half_open:
            self._close()

    def well(self, kind: Kind, seconds: float, work: float) -> None:
        """The lane answered `work` units after `seconds`. A slow answer is one, but many in a row eject it."""
        slow = self._is_slow(kind, seconds, work)
        self._paces[kind].append(seconds / work)
        self._slow_in_a_row = self._slow_in_a_row + 1 if slow else 0
        if self._ejected and not self.half_open:
            return
        if self._slow_in_a_row >= (1 if self.half_open else self.config.ejection.failures):
            self.eject(f"over {self.config.ejection.slow_factor:g} times slower than usual")
        else:
            self.alive()

    def eject(self, why: str) -> None:
        """Try this lane last, longer each time."""
        # No doubling: it would take a lane that flaps for a minute away for hours.
        self._ejections = self.ejections + 1
        lasts = min(self.config.cooldown_s * self._ejections, self.config.ejection.longest_s)
        self._ejected, self._ejected_until = True, self.clock() + lasts
        self._in_a_row = self._slow_in_a_row = 0
        self.note = why

    def rest(self, seconds: float, why: str) -> None:
        """Try this lane last for as long as it asked for; an answer before that ends it."""
        seconds = min(seconds, self.config.ejection.longest_s)
        self._rests_until = max(self._rests_until, self.clock() + seconds)
        self.note = why

    def _close(self) -> None:
        self._ejected, self._closed_at = False, self.clock()
        self._failed.clear()
        self._answered.clear()

    def _is_slow(self, kind: Kind, seconds: float, work: float) -> bool:
        settings, paces = self.config.ejection, self._paces[kind]
        known = len(paces) >= settings.at_least
        return known and seconds > settings.slow_s and seconds / work > settings.slow_factor * median(paces)
