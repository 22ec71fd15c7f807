"""On which terms one configuration lets a caller spend: tariffs of lanes, and who has which limit."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from serve.config import Config
from serve.keys.rights import Key
from serve.ledger.config import NO_CAPS, Caps, cap
from serve.ledger.entries import WHOLE_LIFE, Account, periods
from serve.ledger.prices import tariffs
from serve.sweeps.config import JUDGE, SWEEPS

MARGIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose money it is. Keys with one name share their budgets, so that a rotation gives nobody twice as much.

    `apart`: the account of Pointsman's own work in the background; it pays, with the total, and no key does.
    """

    key: Key
    session: str | None = None
    apart: str | None = None

    @property
    def session_id(self) -> str | None:
        """The session's name as it is kept: a hash, since clients write what they like into it."""
        if self.session is None:
            return None
        return hashlib.sha256(f"{self.key.name}\0{self.session}".encode()).hexdigest()[:20]


class Terms:
    """The money side of one configuration."""

    def __init__(self, config: Config) -> None:
        self.tariffs = tariffs(config)
        self.budgets = config.budgets
        self._apart = {SWEEPS: config.sweeps.budget, JUDGE: config.judge.budget}
        self._at_work = {SWEEPS: config.sweeps.enabled, JUDGE: config.judge.lane is not None}
        self.request_cap = cap(config.budgets.request)
        # A request ends with its deadline; a client that stops reading may hold the end of its stream a little longer.
        longest = config.dispatch.deadline_s + config.server.stall_s + MARGIN_S
        self.lease_s = config.budgets.lease_s or longest

    def accounts(self, payer: Payer, now: float) -> tuple[Account, ...]:
        """Every account that a request of `payer` is charged to at `now` (Unix seconds), limited or not."""
        return tuple(self._accounts(payer, now))

    @property
    def session_cap(self) -> int | None:
        """The limit of each session, in micro-dollars."""
        return cap(self.budgets.session)

    def team_accounts(self, now: float) -> list[Account]:
        """The accounts of everybody together, of each team that has a limit, and of what works in the background."""
        scopes = {"total": self.budgets.total} | {f"team:{n}": caps for n, caps in self.budgets.teams.items()}
        scopes |= {name: caps for name, caps in self._apart.items() if self._at_work[name]}
        return [account for scope, caps in scopes.items() for account in _both(scope, caps, now)]

    def _accounts(self, payer: Payer, now: float) -> Iterator[Account]:
        key, budgets = payer.key, self.budgets
        yield from _both("total", budgets.total, now)
        if payer.apart is not None:
            yield from _both(payer.apart, self._apart[payer.apart], now)
            return
        if key.team:
            yield from _both(f"team:{key.team}", budgets.teams.get(key.team, NO_CAPS), now)
        own = Caps(
            day=budgets.key.day if key.budget.day is None else key.budget.day,
            month=budgets.key.month if key.budget.month is None else key.budget.month,
        )
        yield from _both(f"key:{key.name}", own, now)
        if payer.session_id is not None:
            yield Account(f"session:{payer.session_id}", WHOLE_LIFE, self.session_cap)


def _both(scope: str, caps: Caps, now: float) -> Iterator[Account]:
    day, month = periods(now)
    yield Account(scope, day, cap(caps.day))
    yield Account(scope, month, cap(caps.month))
