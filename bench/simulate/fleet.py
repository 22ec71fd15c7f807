"""Engine replicas with slots, and two of them asked for the shorter wait, as Ray Serve does. Pure numbers.

A request holds one slot from its start to its last token. How long its tokens take is settled at its start, by how
many slots of that replica are then taken. Batching inside vLLM is finer than that.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Work:
    """Requests in order of arrival: seconds until each, its time before the first token, its tokens after that."""

    arrived: np.ndarray
    first_s: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True, slots=True)
class Fleet:
    """`replicas` of the same kind; a request spills when it would have to wait longer than `patience_s`."""

    replicas: int
    slots: int
    gap_alone_s: float
    gap_full_s: float
    patience_s: float

    def gap(self, taken: int) -> float:
        """Seconds of one token with so many slots taken, its own included."""
        share = (taken - 1) / max(1, self.slots - 1)
        return self.gap_alone_s + (self.gap_full_s - self.gap_alone_s) * share


@dataclass(frozen=True, slots=True)
class Served:
    """Of each request: when its first and last token came (nan: spilled), and how long it waited for a slot."""

    first_at: np.ndarray
    last_at: np.ndarray
    waited_s: np.ndarray
    busy_share: float

    @property
    def spilled(self) -> np.ndarray:
        """Which requests went elsewhere."""
        gone: np.ndarray = np.isnan(self.last_at)
        return gone


def run(work: Work, fleet: Fleet, random: np.random.Generator) -> Served:
    """Every request in turn."""
    count = len(work.arrived)
    free_at = np.zeros((fleet.replicas, fleet.slots))
    first_at, last_at = np.full(count, np.nan), np.full(count, np.nan)
    waited = np.full(count, np.nan)
    pairs = random.integers(0, fleet.replicas, (count, 2))
    held = 0.0
    for number, now in enumerate(work.arrived):
        taken, slot, row = _shorter(free_at, pairs[number], now)
        start = max(now, row[slot])
        if start - now > fleet.patience_s:
            continue
        first = start + work.first_s[number]
        last = first + work.tokens[number] * fleet.gap(min(taken + 1, fleet.slots))
        row[slot], first_at[number], last_at[number], waited[number] = last, first, last, start - now
        held += last - start
    span = (work.arrived[-1] - work.arrived[0]) if count > 1 else 1.0
    return Served(first_at, last_at, waited, held / (span * fleet.replicas * fleet.slots))


def _shorter(free_at: np.ndarray, pair: np.ndarray, now: float) -> tuple[int, int, np.ndarray]:
    """Of two replicas the one with fewer slots taken, or whose next slot is free first: taken, slot, its row."""
    one, other = free_at[pair[0]], free_at[pair[1]]
    taken, taken_other = int((one > now).sum()), int((other > now).sum())
    slot, slot_other = int(one.argmin()), int(other.argmin())
    if (taken_other, other[slot_other]) < (taken, one[slot]):
        return taken_other, slot_other, other
    return taken, slot, one
