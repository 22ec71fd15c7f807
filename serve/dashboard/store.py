"""The dashboard's questions to the state database. Reads only; blocks; raises SQLAlchemyError."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Table,
    and_,
    case,
    cast,
    func,
    select,
)

from serve import state
from serve.dashboard.shown import (
    Budget,
    Kept,
    Recent,
    Slice,
    Success,
    TableChange,
    TableRun,
    TablesKept,
    TableVersion,
    Task,
    Totals,
)
from serve.learning import explained
from serve.learning import tables as learning
from serve.learning.placed import base_of
from serve.ledger import tables as ledger
from serve.ledger.entries import periods
from serve.ledger.money import MICRO
from serve.outcomes import queries
from serve.outcomes import tables as outcomes
from serve.routing_table import RoutingTable

HOUR_MS = 3_600_000
SLICES = 48
MOST_RECENT = 30
MOST_BUDGETS = 30
MOST_TABLES = 10
FEW = ("task", "tier", "lane", "key")
"""Dimensions of few values: all of them are counted at once."""
IDLE_SHARE = 20
"""What took a second to count is shown for twenty: a page that is open must not take a core."""

_d, _f = outcomes.DECISIONS.c, outcomes.FEEDBACK.c


class DashboardStore:
    """One database. `now` is in Unix milliseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._successes: tuple[tuple[int, float], list[Success], float] | None = None
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
        since = now - hours * HOUR_MS
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            return Kept(
                totals=_totals(connection, since),
                timeline=_timeline(connection, since, hours * HOUR_MS // SLICES),
                tasks=_tasks(connection, since),
                successes=self._what_successes_cost(connection, hours, since, correction),
                budgets=_budgets(connection, now, limits),
                recent=_recent(connection),
            )

    def _what_successes_cost(
        self, connection: Connection, hours: int, since: int, correction: float
    ) -> list[Success]:
        """Counted again once the last count is old enough, or another time is asked for."""
        wanted, began = (hours, correction), time.monotonic()
        if self._successes is not None and self._successes[0] == wanted and began < self._successes[2]:
            return self._successes[1]
        found = list(_successes(connection, since, correction))
        ended = time.monotonic()
        self._successes = wanted, found, ended + IDLE_SHARE * (ended - began)
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
    tier1 = _count(and_(_d.error.is_(None), _d.tier == 1)).label("tier1")
    wanted = select(
        func.count().label("requests"),
        tier1,
        *_SPLIT,
        *_TROUBLE,
        _count(_d.spilled).label("spilled"),
        *_MONEY,
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


def _successes(connection: Connection, since: int, correction: float) -> Iterator[Success]:
    """Of everything together, then by each dimension; what belongs to no session is none."""
    found = queries.groups_by_each(connection, since, {name: _d[name] for name in FEW}, correction)
    found["session"] = [
        group
        for group in queries.groups(connection, since, _d.session, correction)
        if group.name != queries.NOBODY
    ]
    for by, groups in found.items():
        yield from (_success(by, group) for group in groups)


def _success(by: str, group: queries.Group) -> Success:
    values = {"cpst": group.cpst.usd, "low": group.cpst.low, "high": group.cpst.high}
    return Success.model_validate(
        {
            "by": by,
            "name": group.name,
            "decisions": group.decisions,
            "successes": group.successes,
            "judged": group.judged,
            "cost": group.cost_usd * MICRO,
            "correction": group.correction_usd * MICRO,
            **{name: None if value is None else value * MICRO for name, value in values.items()},
        }
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
