"""The ledger in a database: many entries in one transaction, exact between processes.

A transaction holds the write lock (SQLite) or the rows it is about to change (PostgreSQL) before it looks at them:
reservations first, then balances, each in one order, so that two processes cannot wait for each other. Blocks; is
called by one thread at a time.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serve import state
from serve.ledger.entries import Account, Balance, Entry, Look, Record, Reserve, Settle, Spent, Written
from serve.ledger.tables import ATTEMPTS, BALANCES, RESERVATIONS, TABLES

OPEN, EXPIRED = 0, 1
EXPIRED_OUTCOME = "expired"
DAY_MS = 86_400_000
KEEP_EXPIRED_MS = 7 * DAY_MS
AT_ONCE = 500

Known = dict[str, Row[Any]]


class Store:
    """One database. Opening it makes the tables. Raises ConfigError, OSError, SQLAlchemyError."""

    def __init__(self, url: str | None) -> None:
        # A commit that a power failure undoes is a few requests' money; a crash of a process undoes none.
        self._engine = state.open_database(url, durable=False)
        own = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        self._make, self._note = (
            own(BALANCES).on_conflict_do_nothing(),
            own(ATTEMPTS).on_conflict_do_nothing(),
        )
        state.create(self._engine, TABLES)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def write(self, entries: Sequence[Entry], now: int, *, sweep: bool = True) -> Written:
        """All of `entries` in order, or nothing. `now`: Unix milliseconds. Raises SQLAlchemyError.

        `sweep`: count first as spent what nobody settled in time.
        """
        with self._engine.begin() as connection:
            known = self._known(connection, [e.id for e in entries if isinstance(e, Settle)])
            late = self._late(connection, now, known) if sweep else []
            sheet = _Sheet(known, late)
            self._open(connection, sheet, _accounts(entries, [*known.values(), *late]))
            sheet.expire()
            for entry in entries:
                sheet.take(entry)
            self._save(connection, sheet)
        return Written(sheet.refused, sheet.balances)

    def balances(self, period_list: Iterable[str]) -> list[tuple[str, str, Balance]]:
        """(scope, period, balance) of every account of these periods, by scope."""
        wanted = select(BALANCES).where(BALANCES.c.period.in_(list(period_list)))
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            rows = connection.execute(wanted.order_by(BALANCES.c.scope, BALANCES.c.period)).all()
        return [(row.scope, row.period, Balance(row.spent, row.reserved)) for row in rows]

    def _known(self, connection: Connection, ids: list[str]) -> Known:
        """The reservations that are settled now."""
        if not ids:
            return {}
        return {row.id: row for row in connection.execute(_KNOWN, {"names": ids})}

    def _late(self, connection: Connection, now: int, known: Known) -> list[Row[Any]]:
        """Reservations whose process did not come back in time; nobody else is at work on them."""
        return [row for row in connection.execute(_LATE, {"now": now}) if row.id not in known]

    def _open(self, connection: Connection, sheet: "_Sheet", accounts: dict[str, tuple[str, str]]) -> None:
        """Lock and read the balances; those of first use are made."""
        if not accounts:
            return
        names = sorted(accounts)
        found = connection.execute(_BALANCES, {"names": names}).all()
        if missing := [name for name in names if name not in {row.account for row in found}]:
            rows = [
                {"account": name, "scope": accounts[name][0], "period": accounts[name][1]} | _NOTHING
                for name in missing
            ]
            connection.execute(self._make, rows)
            found = connection.execute(_BALANCES, {"names": names}).all()
        sheet.balances = {row.account: Balance(row.spent, row.reserved) for row in found}
        sheet.before = dict(sheet.balances)

    def _save(self, connection: Connection, sheet: "_Sheet") -> None:
        changed = [
            {"name": name, "now_spent": balance.spent, "now_reserved": balance.reserved}
            for name, balance in sorted(sheet.balances.items())
            if balance != sheet.before[name]
        ]
        if changed:
            connection.execute(_UPDATE_BALANCE, changed)
        if sheet.gone:
            connection.execute(_DELETE_RESERVATION, [{"name": name} for name in sheet.gone])
        if sheet.redone:
            connection.execute(_DELETE_ATTEMPT, [{"name": name} for name in sheet.redone])
        if sheet.expired:
            connection.execute(_EXPIRE, [{"name": name} for name in sheet.expired])
        if sheet.reserved:
            connection.execute(_RESERVE, list(sheet.reserved.values()))
        if sheet.spent:
            rows = [{name: getattr(spent, name) for name in _SPENT} for spent in sheet.spent]
            connection.execute(self._note, rows)

    def prune(self, now: int, keep_days: int | None = None) -> None:
        """Forget reservations that expired a week ago, which nobody settles any more, and attempts that are older
        than `keep_days` (None: none). Balances stay. Raises SQLAlchemyError."""
        old = (RESERVATIONS.c.state == EXPIRED) & (RESERVATIONS.c.expires_at < now - KEEP_EXPIRED_MS)
        with self._engine.begin() as connection:
            connection.execute(delete(RESERVATIONS).where(old))
            if keep_days is not None:
                connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.at < now - keep_days * DAY_MS))


class _Sheet:
    """The balances of one transaction while its entries are taken in order."""

    def __init__(self, known: Known, late: list[Row[Any]]) -> None:
        self.balances: dict[str, Balance] = {}
        self.before: dict[str, Balance] = {}
        self.refused: dict[str, Account] = {}
        self.reserved: dict[str, dict[str, object]] = {}
        self.spent: list[Spent] = []
        self.gone: list[str] = []
        self.expired: list[str] = []
        self.redone: list[str] = []  # counted at their worst when they expired, and known better now
        self._known, self._late = dict(known), late

    def take(self, entry: Entry) -> None:
        """Write one entry on the sheet."""
        match entry:
            case Reserve():
                self._reserve(entry)
            case Settle():
                self._settle(entry)
            case Record(spent):
                self.spent.append(spent)
            case Look():
                pass

    def expire(self) -> None:
        """Count as spent what nobody settled in time."""
        for row in self._late:
            self._move(json.loads(row.accounts), reserved=-row.amount, spent=row.amount)
            self.spent.append(_worst(row))
            self.expired.append(row.id)

    def _reserve(self, entry: Reserve) -> None:
        for account in entry.accounts:
            used = self.balances[account.id].used
            if account.limit is not None and used + entry.amount > account.limit:
                self.refused[entry.id] = account
                return
        names = [account.id for account in entry.accounts]
        self._move(names, reserved=entry.amount)
        self.reserved[entry.id] = {
            "id": entry.id,
            "accounts": json.dumps(names),
            "amount": entry.amount,
            "expires_at": entry.expires_at,
            "state": OPEN,
            "decision_id": entry.decision_id,
            "lane": entry.lane,
            "payer": entry.payer,
        }

    def _settle(self, entry: Settle) -> None:
        """What is not known was never reserved, or is settled already: then there is nothing to do."""
        cost = entry.spent.cost if entry.spent else 0
        if (fresh := self.reserved.pop(entry.id, None)) is not None:
            amount, names, expired = fresh["amount"], fresh["accounts"], False
        elif (row := self._known.pop(entry.id, None)) is not None:
            amount, names, expired = row.amount, row.accounts, row.state == EXPIRED
            self.gone.append(entry.id)
        else:
            return
        assert isinstance(amount, int)
        if expired:
            self.redone.append(entry.id)
            self._move(json.loads(str(names)), spent=cost - amount)
        else:
            self._move(json.loads(str(names)), reserved=-amount, spent=cost)
        if entry.spent:
            self.spent.append(entry.spent)

    def _move(self, names: list[str], reserved: int = 0, spent: int = 0) -> None:
        for name in names:
            old = self.balances[name]
            self.balances[name] = replace(old, spent=old.spent + spent, reserved=old.reserved + reserved)


def _accounts(entries: Sequence[Entry], rows: Iterable[Row[Any]]) -> dict[str, tuple[str, str]]:
    """Scope and period of every account that is touched, by its id."""
    found: dict[str, tuple[str, str]] = {}
    for entry in entries:
        if isinstance(entry, Reserve | Look):
            found |= {account.id: (account.scope, account.period) for account in entry.accounts}
    for row in rows:
        for name in json.loads(row.accounts):
            scope, _, period = name.rpartition("@")
            found[name] = (scope, period)
    return found


def _worst(row: Row[Any]) -> Spent:
    """All that was reserved, as if it had been spent: the process that knew better is gone."""
    return Spent(
        id=row.id,
        decision_id=row.decision_id,
        at=row.expires_at,
        payer=row.payer,
        team=None,
        session=None,
        lane=row.lane,
        outcome=EXPIRED_OUTCOME,
        input_tokens=0,
        cached_tokens=0,
        output_tokens=0,
        cost=row.amount,
        certain=False,
        billed=True,
        prices="",
    )


_NOTHING = {"spent": 0, "reserved": 0}
_SPENT = tuple(field.name for field in fields(Spent))
# Made once: building them anew took about a fifth of the CPU time of a transaction.
_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
_KNOWN = (
    select(RESERVATIONS).where(RESERVATIONS.c.id.in_(_NAMES)).order_by(RESERVATIONS.c.id).with_for_update()
)
_BALANCES = (
    select(BALANCES).where(BALANCES.c.account.in_(_NAMES)).order_by(BALANCES.c.account).with_for_update()
)
_OVER = (RESERVATIONS.c.state == OPEN) & (RESERVATIONS.c.expires_at <= bindparam("now"))
_LATE = select(RESERVATIONS).where(_OVER).limit(AT_ONCE).with_for_update(skip_locked=True)
_RESERVE = insert(RESERVATIONS)
_NAME: BindParameter[str] = bindparam("name")
_UPDATE_BALANCE = (
    update(BALANCES)
    .where(BALANCES.c.account == _NAME)
    .values(spent=bindparam("now_spent"), reserved=bindparam("now_reserved"))
)
_DELETE_RESERVATION = delete(RESERVATIONS).where(RESERVATIONS.c.id == _NAME)
_DELETE_ATTEMPT = delete(ATTEMPTS).where(ATTEMPTS.c.id == _NAME)
_EXPIRE = update(RESERVATIONS).where(RESERVATIONS.c.id == _NAME).values(state=EXPIRED)
