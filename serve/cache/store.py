"""Answers of one router process, in memory only: bounded in bytes and time, apart for each key."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from serve.cache.config import CacheConfig

OVERHEAD = 512
"""Bytes that an entry takes beside its document, roughly."""
SWEEP_S = 60.0


@dataclass(frozen=True, slots=True)
class Cached:
    """A chat completion as JSON, the lane that wrote it, and when, on the store's clock."""

    document: bytes
    lane: str
    at: float

    @property
    def size(self) -> int:
        """Bytes it takes, roughly."""
        return len(self.document) + OVERHEAD


@dataclass(slots=True)
class _Shelf:
    answers: OrderedDict[bytes, Cached] = field(default_factory=OrderedDict)
    size: int = 0

    def drop(self, slot: bytes) -> None:
        if (gone := self.answers.pop(slot, None)) is not None:
            self.size -= gone.size


class CacheStore:
    """One shelf for each key. `clock`: seconds that never jump."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shelves: dict[str, _Shelf] = {}
        self._sweep_at = 0.0

    @property
    def size(self) -> int:
        """Bytes of all answers, roughly."""
        return sum(shelf.size for shelf in self._shelves.values())

    def find(self, key: str, slot: bytes, settings: CacheConfig) -> Cached | None:
        """The answer, if it is still good; it is now the one that was used last."""
        shelf = self._shelves.get(key)
        found = shelf.answers.get(slot) if shelf else None
        if shelf is None or found is None:
            return None
        if self._clock() - found.at >= settings.keep_s:
            shelf.drop(slot)
            return None
        shelf.answers.move_to_end(slot)
        return found

    def put(self, key: str, slot: bytes, document: bytes, lane: str, settings: CacheConfig) -> None:
        """Keep an answer and let others make room; one that is too large is not kept."""
        new = Cached(document, lane, self._clock())
        if len(document) > settings.max_bytes_each or new.size > settings.max_bytes_per_key:
            return
        self._sweep(settings)
        shelf = self._shelves.setdefault(key, _Shelf())
        shelf.drop(slot)
        shelf.answers[slot] = new
        shelf.size += new.size
        while shelf.size > settings.max_bytes_per_key:
            shelf.drop(next(iter(shelf.answers)))
        while self.size > settings.max_bytes:
            fullest = max(self._shelves.values(), key=lambda one: one.size)
            fullest.drop(next(iter(fullest.answers)))

    def clear(self) -> None:
        """Forget everything."""
        self._shelves.clear()

    def _sweep(self, settings: CacheConfig) -> None:
        """Forget what is over, also where nobody asks for it again."""
        now = self._clock()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_S
        for key, shelf in [*self._shelves.items()]:
            for slot in [slot for slot, one in shelf.answers.items() if now - one.at >= settings.keep_s]:
                shelf.drop(slot)
            if not shelf.answers:
                del self._shelves[key]
