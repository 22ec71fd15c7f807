"""What the dashboard counts over a span of time: every decision in it is read, so a long one takes seconds.

Blocks; raises SQLAlchemyError.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Integer, cast, func, select

from serve.dashboard.shown import Counted, Slice, Success, Task, Totals
from serve.ledger.money import MICRO
from serve.outcomes import queries
from serve.outcomes import tables as outcomes

HOUR_MS = 3_600_000
SLICES = 48
_d = outcomes.DECISIONS.c
_FEW = {"task": _d.task, "tier": _d.tier, "lane": _d.lane, "key": _d.key}
"""Dimensions of few values: all of them are counted at once."""
_MORE = {
    "failed": _d.error.is_not(None),
    "fallbacks": _d.fallbacks > 0,
    "escalations": _d.escalations > 0,
    "spilled": _d.spilled,
}


def counted(connection: Connection, hours: int, now: int, correction: float) -> Counted:
    """Of the last `hours` before `now` (Unix ms). `correction`: micro-dollars of a person's minute."""
    since = now - hours * HOUR_MS
    sums = queries.sums_by_each(connection, since, _FEW, correction, _MORE)
    return Counted(
        at=now,
        totals=_totals(connection, since, sums),
        timeline=_timeline(connection, since, hours * HOUR_MS // SLICES),
        tasks=_tasks(sums["task"]),
        successes=list(_successes(connection, since, sums, correction)),
    )


def _totals(connection: Connection, since: int, sums: Mapping[str, queries.Added]) -> Totals:
    everything = sums[queries.TOTAL].get(queries.TOTAL, dict.fromkeys(_ALL, 0))
    lowest = sums["tier"].get(1, everything | {"local": 0, "cloud": 0})
    return Totals(
        **_named(everything, "local", "cloud", *_MORE),
        **_money(everything),
        requests=int(everything["count_"]),
        tier1=int(lowest["local"] + lowest["cloud"]),
        local_p95_ms=_p95(connection, since, int(everything["local"])),
    )


_ALL = ("count_", "local", "cloud", "cost", "baseline", *_MORE)


def _named(sums: Mapping[str, float], *names: str) -> dict[str, int]:
    return {name: int(sums[name]) for name in names}


def _money(sums: Mapping[str, float]) -> dict[str, int]:
    return {"cost": int(sums["cost"]), "always_cloud": int(sums["baseline"])}


def _p95(connection: Connection, since: int, number: int) -> int | None:
    """Of the `number` local answers."""
    if not number:
        return None
    place = -(-number * 95 // 100) - 1
    mine = queries.LOCAL & (_d.at >= since)
    found: int = queries.nth(connection, _d.latency_ms, mine, place, number)
    return found


def _timeline(connection: Connection, since: int, width: int) -> list[Slice]:
    number = cast((_d.at - since) // width, Integer)
    wanted = (
        select(
            number.label("number"),
            queries.often(queries.LOCAL).label("local"),
            queries.often(queries.CLOUD).label("cloud"),
            queries.often(_d.error.is_not(None)).label("failed"),
            func.coalesce(func.sum(_d.cost), 0).label("cost"),
            func.coalesce(func.sum(_d.baseline), 0).label("always_cloud"),
        )
        .where(_d.at >= since)
        .group_by("number")
    )
    found = {row["number"]: row for row in connection.execute(wanted).mappings()}
    nothing = {"local": 0, "cloud": 0, "failed": 0, "cost": 0, "always_cloud": 0}
    return [Slice(at=since + n * width, **{**nothing, **_less(found.get(n, {}))}) for n in range(SLICES)]


def _less(row: Mapping[Any, Any]) -> dict[str, int]:
    return {name: value for name, value in row.items() if name != "number"}


def _tasks(found: queries.Added) -> list[Task]:
    """The most frequent first."""
    tasks = [
        Task(
            **_named(sums, "local", "fallbacks", "escalations"),
            **_money(sums),
            task=str(name),
            requests=int(sums["count_"]),
            good=int(sums["s"]),
            told=int(sums["judged"]),
        )
        for name, sums in found.items()
    ]
    return sorted(tasks, key=lambda one: (-one.requests, one.task))


def _successes(
    connection: Connection, since: int, sums: Mapping[str, queries.Added], correction: float
) -> Iterator[Success]:
    """Of everything together, then by each dimension; what belongs to no session is none."""
    found = {name: queries.listed(values, correction) for name, values in sums.items()}
    found["session"] = queries.busiest(connection, since, _d.session, correction)
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
