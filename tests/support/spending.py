"""Reads and drives a ledger in a test: the same store and desk that routers use.

python -m tests.support.spending URL COUNT AMOUNT LIMIT    # reserves and settles, prints how many were admitted
"""

import asyncio
import sys
import time
from dataclasses import dataclass

from sqlalchemy import Row, func, select

from serve import state
from serve.ledger.desk import Desk, LedgerDown, new_id
from serve.ledger.entries import Account, Clock, Reserve, Settle, Spent, milliseconds
from serve.ledger.tables import ATTEMPTS, BALANCES, RESERVATIONS

MINUTE_MS = 60_000


def reservation(
    amount: int, *accounts: Account, clock: Clock = time.time, lease_ms: int = MINUTE_MS
) -> Reserve:
    """A reservation as a router makes one."""
    return Reserve(new_id(), accounts, amount, "dec_test", "cloud", "ann", milliseconds(clock) + lease_ms)


def settled(entry: Reserve, cost: int) -> Settle:
    """Its settlement at `cost`."""
    spent = Spent(
        entry.id, entry.decision_id, entry.expires_at, entry.payer, None, None, entry.lane, "ok", 1, 0, 1, cost,
        certain=True, billed=True, prices="test",
    )  # fmt: skip
    return Settle(entry.id, spent)


@dataclass(frozen=True, slots=True)
class Books:
    """What stands in the database. `attempts`: the sum of their costs."""

    spent: int
    reserved: int
    open: int
    attempts: int


def books(url: str, scope: str = "total") -> Books:
    """The sums of one scope's days, of all open reservations, and of all attempts."""
    engine = state.open_database(url, durable=False)
    try:
        with engine.connect().execution_options(**state.READ_ONLY) as connection:
            daily = (BALANCES.c.scope == scope) & (func.length(BALANCES.c.period) == len("2026-11-21"))
            sums = select(func.sum(BALANCES.c.spent), func.sum(BALANCES.c.reserved)).where(daily)
            spent, reserved = connection.execute(sums).one()
            waiting = select(func.count()).select_from(RESERVATIONS).where(RESERVATIONS.c.state == 0)
            cost = select(func.sum(ATTEMPTS.c.cost)).where(ATTEMPTS.c.billed)
            return Books(
                int(spent or 0),
                int(reserved or 0),
                connection.execute(waiting).scalar_one(),
                int(connection.execute(cost).scalar_one() or 0),
            )
    finally:
        engine.dispose()


def attempts(url: str) -> list[Row[tuple[object, ...]]]:
    """Every attempt, oldest first."""
    engine = state.open_database(url, durable=False)
    try:
        with engine.connect().execution_options(**state.READ_ONLY) as connection:
            return list(connection.execute(select(ATTEMPTS).order_by(ATTEMPTS.c.at)))
    finally:
        engine.dispose()


async def _patiently(desk: Desk, amount: int, *accounts: Account) -> tuple[Reserve, Account | None]:
    """A busy machine may make a ledger seem away; whoever is told so holds nothing and asks anew, as a router does."""
    while True:
        entry = reservation(amount, *accounts)
        try:
            return entry, await desk.reserve(entry)
        except LedgerDown:
            await asyncio.sleep(0.1)


async def _spend(url: str, count: int, amount: int, limit: int) -> int:
    desk = Desk(url)
    accounts = (Account("total", "2026-11-21", limit), Account("total", "2026-11"))

    async def one() -> bool:
        entry, refused = await _patiently(desk, amount, *accounts)
        if refused is not None:
            return False
        desk.settle(settled(entry, amount))
        return True

    try:
        return sum(await asyncio.gather(*(one() for _ in range(count))))
    finally:
        await asyncio.to_thread(desk.close)


if __name__ == "__main__":
    url, *numbers = sys.argv[1:]
    print(asyncio.run(_spend(url, *map(int, numbers))))
