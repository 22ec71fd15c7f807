"""What the database counts for a report: grouped sums, percentiles and lists of what failed. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Row,
    Select,
    and_,
    case,
    cast,
    func,
    or_,
    select,
)

from serve.config import ON_PREMISES
from serve.outcomes.cpst import Cpst, Sums, cpst
from serve.outcomes.said import JUDGED_BY
from serve.outcomes.tables import DECISIONS, FEEDBACK, SCOUT, STEPS

NO_FAULT = ("ok", "repaired", "reasked", "asked", "cancelled")
LEFT = "left"
TOTAL = "total"
NOBODY = "none"
"""The name of a group of decisions that have no lane, tier or session."""
DAY_MS = 86_400_000
MOST_LISTED = 50
NO_MORE: Mapping[str, ColumnElement[bool]] = {}

_d, _f = DECISIONS.c, FEEDBACK.c
JOINED = DECISIONS.outerjoin(FEEDBACK, _d.decision_id == _f.decision_id)
LOCAL = and_(_d.error.is_(None), _d.location.in_(sorted(ON_PREMISES)))
CLOUD = and_(_d.error.is_(None), _d.location.not_in(sorted(ON_PREMISES)))
PASSED_ON = or_(_d.fallbacks > 0, _d.escalations > 0)
COMPLAINED = and_(_f.success.is_(False), func.coalesce(_f.source, "") != JUDGED_BY)
INVALID = or_(_d.verdict.in_(("invalid", "reasked")), _d.escalations > 0)


@dataclass(frozen=True, slots=True)
class Group:
    """One value of one dimension. Money in US dollars; rates are shares of `decisions`, 0 to 1.

    `local` and `cloud` were answered; `unknown` lost their client and were judged by nobody.
    """

    name: str
    decisions: int
    local: int
    cloud: int
    successes: int
    failures: int
    unknown: int
    judged: int
    complaints: int
    cost_usd: float
    billed_usd: float
    baseline_usd: float
    correction_usd: float
    fallback_rate: float
    validation_failure_rate: float
    cpst: Cpst


def success() -> ColumnElement[Any]:
    """1 where it succeeded, else 0: by what was said, else by what happened."""
    failed = or_(_d.error.is_not(None), _d.retried, _d.verdict == "invalid")
    return case((_f.success.is_(True), 1), (_f.success.is_(False), 0), (failed, 0), else_=1)


def busiest(
    connection: Connection, since: int, dimension: ColumnElement[Any], correction: float
) -> list[Group]:
    """By the most frequent values of `dimension`, NULL left out: for dimensions of many values.

    `correction`: micro-dollars of a person's minute. Who they are is found first, so that what is known of all the
    others is neither joined nor sorted.
    """
    names_of = (
        select(dimension)
        .where(_d.at >= since, dimension.is_not(None))
        .group_by(dimension)
        .order_by(func.count().desc(), dimension)
        .limit(MOST_LISTED)
    )
    names = list(connection.execute(names_of).scalars())
    if not names:
        return []
    wanted = _sums(since, correction, dimension.label("name")).where(dimension.in_(names)).group_by(dimension)
    return listed({row["name"]: row for row in connection.execute(wanted).mappings()}, correction)


Added = dict[object, dict[str, float]]
"""Sums by their names, of each value of one dimension."""


def groups_by_each(
    connection: Connection, since: int, dimensions: Mapping[str, ColumnElement[Any]], correction: float
) -> dict[str, list[Group]]:
    """By each of `dimensions`, and in `total`, from one look at every row: for dimensions of few values."""
    added = sums_by_each(connection, since, dimensions, correction)
    return {name: listed(values, correction) for name, values in added.items()}


def sums_by_each(
    connection: Connection,
    since: int,
    dimensions: Mapping[str, ColumnElement[Any]],
    correction: float,
    more: Mapping[str, ColumnElement[bool]] = NO_MORE,
) -> dict[str, Added]:
    """What the groups are made of, and for each name of `more` how many decisions it holds for."""
    columns = [column.label(f"by_{name}") for name, column in dimensions.items()]
    counts = [often(condition).label(name) for name, condition in more.items()]
    added: dict[str, Added] = {TOTAL: {}, **{name: {} for name in dimensions}}
    wanted = _sums(since, correction, *columns, *counts).group_by(*dimensions.values())
    parts = (*_SUMMED, *more)
    for row in connection.execute(wanted).mappings():
        found = {part: row[part] for part in parts}
        for name, values in added.items():
            value = TOTAL if name == TOTAL else row[f"by_{name}"]
            sums = values.setdefault(value, dict.fromkeys(parts, 0))
            for part, number in found.items():
                sums[part] += number
    return added


def listed(values: Mapping[Any, Mapping[Any, Any]], correction: float) -> list[Group]:
    """The groups of these sums, the most frequent first, and no more than a page holds."""
    found = [_group(value, sums, correction) for value, sums in values.items()]
    return sorted(found, key=lambda group: (-group.decisions, group.name))[:MOST_LISTED]


_SUMMED = (
    *("count_", "local", "cloud", "s", "unknown", "judged", "complaints", "cost", "billed", "baseline"),
    *("minutes", "passed_on", "invalid", "x", "xx", "xs"),
)


def _sums(since: int, correction: float, *more: ColumnElement[Any]) -> Select[Any]:
    """Everything a group is made of, beside `more`."""
    minutes = func.coalesce(_f.correction_minutes, 0.0)
    x: ColumnElement[Any] = cast(_d.cost, Float)
    if correction:
        x = x + minutes * correction
    s = cast(success(), Float)
    unknown = and_(_f.success.is_(None), _d.error == LEFT)
    wanted = select(
        *more,
        func.count().label("count_"),
        often(LOCAL).label("local"),
        often(CLOUD).label("cloud"),
        func.sum(success()).label("s"),
        often(unknown).label("unknown"),
        func.count(_f.decision_id).label("judged"),
        often(COMPLAINED).label("complaints"),
        func.sum(_d.cost).label("cost"),
        func.sum(_d.billed).label("billed"),
        func.sum(_d.baseline).label("baseline"),
        func.sum(minutes).label("minutes"),
        often(PASSED_ON).label("passed_on"),
        often(INVALID).label("invalid"),
        func.sum(x).label("x"),
        func.sum(x * x).label("xx"),
        func.sum(x * s).label("xs"),
    )
    return wanted.select_from(JOINED).where(_d.at >= since)


def often(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows it holds for."""
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _group(name: object, row: Mapping[Any, Any], correction: float) -> Group:
    count, s = int(row["count_"]), int(row["s"])
    sums = Sums(count, s, float(row["x"]), float(row["xx"]), float(row["xs"]))
    return Group(
        name=NOBODY if name is None else str(name),
        decisions=count,
        local=int(row["local"]),
        cloud=int(row["cloud"]),
        successes=s,
        failures=count - s - int(row["unknown"]),
        unknown=int(row["unknown"]),
        judged=int(row["judged"]),
        complaints=int(row["complaints"]),
        cost_usd=int(row["cost"]) / 1e6,
        billed_usd=int(row["billed"]) / 1e6,
        baseline_usd=int(row["baseline"]) / 1e6,
        correction_usd=float(row["minutes"]) * correction / 1e6,
        fallback_rate=int(row["passed_on"]) / count,
        validation_failure_rate=int(row["invalid"]) / count,
        cpst=cpst(sums),
    )


def percentiles(
    connection: Connection,
    since: int,
    column: ColumnElement[Any],
    where: ColumnElement[bool],
    shares: Sequence[float],
) -> list[float | None]:
    """For each of `shares` the value below which that share of the rows are."""
    mine = and_(_d.at >= since, where, column.is_not(None))
    count = connection.execute(select(func.count()).select_from(DECISIONS).where(mine)).scalar_one()
    places = [min(count - 1, int(count * share)) for share in shares]
    return [float(nth(connection, column, mine, place, count)) if count else None for place in places]


def nth(
    connection: Connection, column: ColumnElement[Any], where: ColumnElement[bool], place: int, count: int
) -> Any:
    """The value at `place` (0: the least) of `count`; sorted from the nearer end, since the rest need not be."""
    above = count - 1 - place
    order, offset = (column, place) if place < above else (column.desc(), above)
    return connection.execute(
        select(column).where(where).order_by(order).offset(offset).limit(1)
    ).scalar_one()


@dataclass(frozen=True, slots=True)
class ScoutTimes:
    """How long the Scout was waited for. `late`: the share (0 to 1) that took longer than the limit."""

    asked: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    late: float | None = None


def scout(connection: Connection, since: int, limit_ms: float) -> ScoutTimes:
    """Of decisions for which the Scout was asked, not only thought about."""
    mine, ms = SCOUT.c.at >= since, SCOUT.c.ms
    late = func.coalesce(func.sum(case((ms > limit_ms, 1), else_=0)), 0)
    asked, over = connection.execute(select(func.count(), late).select_from(SCOUT).where(mine)).one()
    if not asked:
        return ScoutTimes()

    def reach(share: float) -> float:
        return float(nth(connection, ms, mine, min(asked - 1, int(asked * share)), asked))

    return ScoutTimes(int(asked), reach(0.5), reach(0.95), int(over) / asked)


def attempts(connection: Connection, since: int) -> list[tuple[str, str, str, int]]:
    """(task, lane, how it ended, how often) of attempts that gave no answer, the most frequent first."""
    count = func.count()
    joined = STEPS.join(DECISIONS, STEPS.c.decision_id == _d.decision_id)
    wanted = (
        select(_d.task, STEPS.c.lane, STEPS.c.outcome, count)
        .select_from(joined)
        .where(STEPS.c.at >= since, STEPS.c.outcome.not_in(NO_FAULT))
        .group_by(_d.task, STEPS.c.lane, STEPS.c.outcome)
        .order_by(count.desc(), _d.task, STEPS.c.lane)
        .limit(MOST_LISTED)
    )
    return [(str(a), str(b), str(c), int(n)) for a, b, c, n in connection.execute(wanted)]


def escalated(connection: Connection, since: int) -> tuple[int, int]:
    """Decisions that went on because of an answer, and those of them whose first lane after that succeeded."""
    first = and_(_d.escalations == 1, success() == 1)
    wanted = select(func.count(), often(first)).select_from(JOINED)
    row = connection.execute(wanted.where(_d.at >= since, _d.escalations > 0)).one()
    return int(row[0]), int(row[1])


def labels(connection: Connection, since: int) -> list[tuple[str, int]]:
    """(label, how often) of feedback on these decisions."""
    wanted = (
        select(_f.label, func.count())
        .select_from(JOINED)
        .where(_d.at >= since, _f.label.is_not(None))
        .group_by(_f.label)
        .order_by(_f.label)
    )
    return [(str(label), int(count)) for label, count in connection.execute(wanted)]


@dataclass(frozen=True, slots=True)
class Half:
    """One half of the time that is looked at, for what changes between them."""

    decisions: int
    invalid: int
    tasks: dict[str, int]


def half(connection: Connection, start: int, end: int) -> Half:
    """What happened from `start` to before `end`, in Unix milliseconds."""
    wanted = (
        select(_d.task, func.count().label("many"), often(INVALID).label("bad"))
        .where(_d.at >= start, _d.at < end)
        .group_by(_d.task)
        .order_by(_d.task)
    )
    rows: Sequence[Row[Any]] = connection.execute(wanted).all()
    tasks = {str(row.task): int(row.many) for row in rows}
    return Half(sum(tasks.values()), sum(int(row.bad) for row in rows), tasks)
