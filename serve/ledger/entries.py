"""What the ledger is asked to write down, and what it answers. Plain values; nothing here knows SQL."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Unix seconds."""

WHOLE_LIFE = "all"


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays, in which period, and up to how many micro-dollars (None: without a limit)."""

    scope: str
    period: str
    limit: int | None = None

    @property
    def id(self) -> str:
        """What the database knows it by."""
        return f"{self.scope}@{self.period}"

    @property
    def words(self) -> str:
        """For people: `the budget of key ann for 2026-11`."""
        who = self.scope.replace(":", " ", 1)
        name = "everybody" if who == "total" else "this session" if who.startswith("session ") else who
        return f"the budget of {name}" + ("" if self.period == WHOLE_LIFE else f" for {self.period}")


@dataclass(frozen=True, slots=True)
class Balance:
    """Micro-dollars of one account."""

    spent: int = 0
    reserved: int = 0

    @property
    def used(self) -> int:
        """What nobody else can have."""
        return self.spent + self.reserved


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold `amount` in every account, or in none. `expires_at`: Unix milliseconds."""

    id: str
    accounts: tuple[Account, ...]
    amount: int
    decision_id: str
    lane: str
    payer: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Spent:
    """One attempt that is over, and what it cost."""

    id: str
    decision_id: str
    at: int
    payer: str
    team: str | None
    session: str | None
    lane: str
    outcome: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: int
    certain: bool
    billed: bool
    prices: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Turn the reservation `id` into what was spent; None: nothing was."""

    id: str
    spent: Spent | None


@dataclass(frozen=True, slots=True)
class Record:
    """Write down an attempt that was never reserved for."""

    spent: Spent


@dataclass(frozen=True, slots=True)
class Look:
    """Read balances."""

    accounts: tuple[Account, ...]


Entry = Reserve | Settle | Record | Look


@dataclass(frozen=True, slots=True)
class Written:
    """`refused`: for each refused reservation the account that had no room. `balances`: of all accounts touched."""

    refused: dict[str, Account] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)


def periods(now: float) -> tuple[str, str]:
    """Day and month of `now` in UTC: `2026-11-21`, `2026-11`."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    return day, day[:7]


def milliseconds(clock: Clock = time.time) -> int:
    """Unix milliseconds of `clock`."""
    return int(clock() * 1000)
