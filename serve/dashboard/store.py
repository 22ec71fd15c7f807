"""The dashboard's questions to the state database. Reads only; blocks; raises SQLAlchemyError."""

import json
import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Engine, Table, select

from serve import state
from serve.dashboard.count import counted
from serve.dashboard.shown import (
    Budget,
    Counted,
    Kept,
    Recent,
    TableChange,
    TableRun,
    TablesKept,
    TableVersion,
)
from serve.learning import explained
from serve.learning import tables as learning
from serve.learning.placed import base_of
from serve.ledger import tables as ledger
from serve.ledger.entries import periods
from serve.outcomes import tables as outcomes
from serve.routing_table import RoutingTable

MOST_RECENT = 30
MOST_BUDGETS = 30
MOST_TABLES = 10
IDLE_SHARE = 20
"""What took a second to count is shown for twenty: a page that is open must not take a core."""
QUICK_S = 0.1
"""What takes less than this is counted anew each time."""
MOST_SPANS = 8

_d = outcomes.DECISIONS.c


class DashboardStore:
    """One database. `now` is in Unix milliseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._counted: dict[tuple[int, float], tuple[Counted, float]] = {}
        """By hours and the price of a correction, and until when it is shown."""
        state.create(engine, outcomes.TABLES)
        state.create(engine, ledger.TABLES)
        state.create(engine, learning.TABLES)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def tables(self, configured: RoutingTable) -> TablesKept:
        """What became of routing tables that stand in for this one."""
        base = base_of(configured)
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            return TablesKept(
                changes=[
                    TableChange(**row) for row in _newest(connection, learning.CHANGES, TableChange, base)
                ],
                versions=[
                    _version(row, configured) for row in _newest(connection, learning.VERSIONS, None, base)
                ],
                runs=[TableRun(**row) for row in _newest(connection, learning.RUNS, TableRun, base)],
            )

    def kept(self, hours: int, now: int, limits: Mapping[str, int | None], correction: float = 0.0) -> Kept:
        """The numbers of the last `hours`.

        limits      by account, in micro-dollars, of those that are known
        correction  micro-dollars of a person's minute
        """
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            return Kept(
                **dict(self._count(connection, hours, now, correction)),
                budgets=_budgets(connection, now, limits),
                recent=_recent(connection),
            )

    def _count(self, connection: Connection, hours: int, now: int, correction: float) -> Counted:
        """Counted again once the last count is old enough, or another time is asked for."""
        wanted, began = (hours, correction), time.monotonic()
        found, until = self._counted.get(wanted, (None, 0.0))
        if found is not None and began < until:
            return found
        found, took = counted(connection, hours, now, correction), time.monotonic() - began
        if len(self._counted) >= MOST_SPANS:
            self._counted.clear()
        self._counted[wanted] = found, began + took * (1 + IDLE_SHARE) if took > QUICK_S else began
        return found


def _newest(
    connection: Connection, table: Table, shown: type[BaseModel] | None, base: str
) -> list[dict[str, Any]]:
    columns = [table.c[name] for name in shown.model_fields] if shown else list(table.c)
    wanted = select(*columns).where(table.c.base == base).order_by(table.c.at.desc(), *table.primary_key)
    return [dict(row) for row in connection.execute(wanted.limit(MOST_TABLES)).mappings()]


def _version(row: dict[str, Any], configured: RoutingTable) -> TableVersion:
    table = RoutingTable.model_validate_json(row["document"])
    return TableVersion(
        version=row["version"],
        at=row["at"],
        who=row["who"],
        why=row["why"],
        rows=explained.differences(table, configured),
        proof=explained.proof(json.loads(row["evidence"])),
    )


def _budgets(connection: Connection, now: int, limits: Mapping[str, int | None]) -> list[Budget]:
    """The day's and the month's accounts of everybody, of teams and of keys; sessions are too many."""
    balance = ledger.BALANCES.c
    wanted = (
        select(balance.account, balance.scope, balance.period, balance.spent, balance.reserved)
        .where(balance.period.in_(periods(now / 1000)), balance.scope.not_like("session:%"))
        .order_by(balance.spent.desc(), balance.account)
        .limit(MOST_BUDGETS)
    )
    rows = connection.execute(wanted).mappings()
    return [Budget(**row, limit=limits.get(row["account"])) for row in rows]


def _recent(connection: Connection) -> list[Recent]:
    columns = [_d[name] for name in Recent.model_fields]
    wanted = select(*columns).order_by(_d.at.desc(), _d.decision_id).limit(MOST_RECENT)
    return [Recent(**row) for row in connection.execute(wanted).mappings()]
