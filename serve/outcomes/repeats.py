"""Whether a caller sends the same prompt again, which says that the answer before was no good.

Keeps keyed hashes in memory for a short while, never a text; a new process starts with a new key. Each Router sees
its own requests.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 50_000


class Repeats:
    """`clock`: seconds that never jump."""

    def __init__(self, within_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._within_s, self._clock = within_s, clock
        self._salt = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def of(self, caller: str, prompt: str, decision_id: str) -> str | None:
        """The decision that the caller got for the same prompt a short while ago, None where there is none."""
        if not self._within_s:
            return None
        now = self._clock()
        name = f"{caller}\0{prompt}".encode("utf-8", "surrogatepass")
        mark = hashlib.blake2b(name, key=self._salt, digest_size=16).digest()
        before = self._seen.pop(mark, None)
        self._seen[mark] = (decision_id, now)
        self._forget(now)
        return before[0] if before is not None and now - before[1] <= self._within_s else None

    def _forget(self, now: float) -> None:
        while self._seen:
            mark, (_, at) = next(iter(self._seen.items()))
            if now - at <= self._within_s and len(self._seen) <= MOST:
                return
            del self._seen[mark]
