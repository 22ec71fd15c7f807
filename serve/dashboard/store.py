"""The dashboard's questions to the state database. Reads only; blocks; raises SQLAlchemyError."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    case,
    cast,
    func,
    select,
)

from serve import state
from serve.dashboard.shown import Budget, Kept, Recent, Slice, Task, Totals
from serve.ledger import tables as ledger
from serve.ledger.entries import periods
from serve.outcomes import queries
from serve.outcomes import tables as outcomes

HOUR_MS = 3_600_000
SLICES = 48
MOST_RECENT = 30
MOST_BUDGETS = 30

_d, _f = outcomes.DECISIONS.c, outcomes.FEEDBACK.c


class DashboardStore:
    """One database. `now` is in Unix milliseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        state.create(engine, outcomes.TABLES)
        state.create(engine, ledger.TABLES)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def kept(self, hours: int, now: int, limits: Mapping[str, int | None]) -> Kept:
        """The numbers of the last `hours`. `limits`: by account, in micro-dollars, of those that are known."""
        since = now - hours * HOUR_MS
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            return Kept(
                totals=_totals(connection, since),
                timeline=_timeline(connection, since, hours * HOUR_MS // SLICES),
                tasks=_tasks(connection, since),
                budgets=_budgets(connection, now, limits),
                recent=_recent(connection),
            )


def _count(what: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(case((what, 1), else_=0)), 0)


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(column), 0)


_MONEY = (_sum(_d.cost).label("cost"), _sum(_d.baseline).label("always_cloud"))
_SPLIT = (
    _count(queries.LOCAL).label("local"),
    _count(queries.CLOUD).label("cloud"),
    _count(_d.error.is_not(None)).label("failed"),
)
_TROUBLE = (_count(_d.fallbacks > 0).label("fallbacks"), _count(_d.escalations > 0).label("escalations"))


def _totals(connection: Connection, since: int) -> Totals:
    wanted = select(
        func.count().label("requests"), *_SPLIT, *_TROUBLE, _count(_d.spilled).label("spilled"), *_MONEY
    )
    row = connection.execute(wanted.where(_d.at >= since)).mappings().one()
    return Totals(**row, local_p95_ms=_p95(connection, since, row["local"]))


def _p95(connection: Connection, since: int, number: int) -> int | None:
    place = max(0, -(-number * 95 // 100) - 1)
    wanted = (
        select(_d.latency_ms)
        .where(_d.at >= since, queries.LOCAL)
        .order_by(_d.latency_ms)
        .limit(1)
        .offset(place)
    )
    found: int | None = connection.execute(wanted).scalar()
    return found


def _timeline(connection: Connection, since: int, width: int) -> list[Slice]:
    number = cast((_d.at - since) // width, Integer)
    wanted = select(number.label("number"), *_SPLIT, *_MONEY).where(_d.at >= since).group_by("number")
    found = {row["number"]: row for row in connection.execute(wanted).mappings()}
    nothing = {"local": 0, "cloud": 0, "failed": 0, "cost": 0, "always_cloud": 0}
    return [Slice(at=since + n * width, **{**nothing, **_less(found.get(n, {}))}) for n in range(SLICES)]


def _less(row: Mapping[Any, Any]) -> dict[str, int]:
    return {name: value for name, value in row.items() if name != "number"}


def _tasks(connection: Connection, since: int) -> list[Task]:
    told = func.count(_f.decision_id).label("told")
    wanted = (
        select(
            _d.task,
            func.count().label("requests"),
            _SPLIT[0],
            *_TROUBLE,
            *_MONEY,
            _sum(queries.success()).label("good"),
            told,
        )
        .select_from(queries.JOINED)
        .where(_d.at >= since)
        .group_by(_d.task)
        .order_by(func.count().desc(), _d.task)
    )
    return [Task(**row) for row in connection.execute(wanted).mappings()]


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
