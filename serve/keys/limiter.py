"""Rate limits: requests and tokens per minute, and requests at the same time, each per key, in one router.

Keys with one name share their limits, so that a rotation gives nobody twice as much.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from serve.errors import RateLimited
from serve.keys.rights import ANONYMOUS, Allowance, Key, Rights
from serve.keys.window import Taken, Window

Clock = Callable[[], float]


@dataclass(slots=True)
class _Account:
    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)
    running: int = 0


class Visit:
    """One request of one key: its rights, and the tokens it has reserved."""

    def __init__(self, key: Key, allowance: Allowance, account: _Account, clock: Clock) -> None:
        self.key = key
        self._allowance, self._account, self._clock = allowance, account, clock
        self._reserved: Taken | None = None

    @classmethod
    def anonymous(cls) -> "Visit":
        """A visit that may do everything but administration, without limits."""
        return cls(ANONYMOUS, Allowance(), _Account(), time.monotonic)

    @property
    def rights(self) -> Rights:
        """What the caller may do."""
        return self.key.rights

    def enter(self) -> None:
        """Count the request and take a place; `leave` gives the place back. Raises RateLimited."""
        limit, account, now = self._allowance, self._account, self._clock()
        if limit.parallel is not None and account.running >= limit.parallel:
            raise RateLimited(
                f"This key may have {limit.parallel} requests open at the same time", retry_after_s=1
            )
        if limit.requests is not None and account.requests.take(1, limit.requests, now) is None:
            wait = account.requests.wait(1, limit.requests, now)
            raise _refused("1 request", f"{limit.requests:,} requests per minute", wait)
        account.running += 1

    def leave(self) -> None:
        """The request is over."""
        self._account.running -= 1

    def reserve(self, tokens: int) -> None:
        """Reserve what the request may cost at most. Raises RateLimited when that is more than is left."""
        limit = self._allowance.tokens
        if limit is None:
            return
        now, window = self._clock(), self._account.tokens
        self._reserved = window.take(tokens, limit, now)
        if self._reserved is None:
            raise _refused(
                f"{tokens:,} tokens", f"{limit:,} tokens per minute", window.wait(tokens, limit, now)
            )

    def settle(self, tokens: int) -> None:
        """Replace the reservation by what it really was."""
        if self._reserved is not None:
            self._account.tokens.correct(self._reserved, tokens, self._clock())

    def headers(self) -> dict[str, str]:
        """What is left, in OpenAI's `x-ratelimit-*` headers; none for what has no limit."""
        now = self._clock()
        pairs = (
            ("requests", self._allowance.requests, self._account.requests),
            ("tokens", self._allowance.tokens, self._account.tokens),
        )
        found: dict[str, str] = {}
        for kind, limit, window in pairs:
            if limit is not None:
                found[f"x-ratelimit-limit-{kind}"] = str(limit)
                found[f"x-ratelimit-remaining-{kind}"] = str(max(0, limit - window.used(now)))
                found[f"x-ratelimit-reset-{kind}"] = f"{window.wait(limit, limit, now) or 0:.3f}s"
        return found


class Limiter:
    """The accounts of one router; it has a share of `1 / routers` of every limit."""

    def __init__(self, routers: int = 1, clock: Clock = time.monotonic) -> None:
        self.routers, self._clock = routers, clock
        self._accounts: defaultdict[str, _Account] = defaultdict(_Account)

    def visit(self, key: Key) -> Visit:
        """A request that has not entered yet."""
        return Visit(key, key.allowance.shared_by(self.routers), self._accounts[key.name], self._clock)


def _refused(wanted: str, limit: str, wait: float | None) -> RateLimited:
    if wait is None:
        return RateLimited(
            f"The request needs {wanted}; this key may use {limit}, so it never fits", retry_after_s=None
        )
    seconds = max(1, math.ceil(wait))
    return RateLimited(f"This key may use {limit}; try again in {seconds} s", retry_after_s=seconds)
