"""The report: where decisions went, what they cost, what a success costs, and what deserves a look.

Knows targets and thresholds. Does not know how it is shown.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Connection, Engine, inspect

from serve import state
from serve.config import Config
from serve.outcomes import queries
from serve.outcomes.queries import Group, Half, ScoutTimes
from serve.outcomes.sheet import POOR, baseline_lane
from serve.outcomes.tables import DECISIONS, FEEDBACK, SCOUT
from serve.sweeps import evidence
from serve.sweeps import store as sweeps

TIER1_TARGET = (0.60, 0.70)
SAVED_TARGET = (0.50, 0.70)
PROMOTE_OVER, DEMOTE_UNDER = 0.15, 0.02
ENOUGH = 50
"""Decisions of a task type from which its rates mean something."""
SHIFTED = 0.15
"""Share of the traffic that changed its task type between the halves."""
ENOUGH_TO_SHIFT = 100
SURE_Z = 3.0
SCOUT_LIMIT_MS = 80.0
SCOUT_LATE = 0.05
"""Share of the Scout's answers over the limit from which it is an alert."""
TOO_FEW = "too few decisions to tell"
NEVER = 1 << 62

_d = DECISIONS.c
DIMENSIONS: Mapping[str, ColumnElement[Any]] = {
    "task": _d.task,
    "lane": _d.lane,
    "location": _d.location,
    "tier": _d.tier,
    "key": _d.key,
}

Advice = Literal["promote", "consider demoting", "keep", "too few"]


@dataclass(frozen=True, slots=True)
class TaskAdvice:
    """Whether a task type should start on a stronger lane (`promote`) or may try a cheaper one."""

    task: str
    decisions: int
    fallback_rate: float
    advice: Advice


@dataclass(frozen=True, slots=True)
class Failed:
    """Attempts that gave no answer, counted."""

    task: str
    lane: str
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class Swept:
    """A task type that the tier below tried: its share of good answers with bounds, and whether the table may change.

    `agreement` with the accepted answers is a mean, None where there was none.
    """

    task: str
    from_tier: int
    to_tier: int
    samples: int
    judged: int
    good: int
    low: float
    high: float
    agreement: float | None
    cost_usd: float
    advice: evidence.Advice


@dataclass(frozen=True, slots=True)
class Trend:
    """The share of decisions with an answer that validation refused, in the first and the second half of the time."""

    before: float | None
    after: float | None
    words: str


@dataclass(frozen=True, slots=True)
class Escalated:
    """Decisions passed on because of an answer; `share`: those whose first lane after that succeeded. Goal: 0.95."""

    decisions: int = 0
    first_call_successes: int = 0
    share: float | None = None


UNKNOWN = Trend(None, None, TOO_FEW)
NOT_ASKED = ScoutTimes()


@dataclass(frozen=True, slots=True)
class Report:
    """`since_ms` and `until_ms` in Unix milliseconds; shares 0 to 1; times in ms; None: nothing is known.

    `background_usd`: what sweeps and the judge cost, at providers and on own hardware; in no other figure.
    """

    since_ms: int
    until_ms: int
    baseline_lane: str | None
    correction_usd_per_hour: float
    total: Group | None = None
    tier1_share: float | None = None
    local_share: float | None = None
    saved_share: float | None = None
    local_p95_ms: float | None = None
    local_first_p95_ms: float | None = None
    overhead_p50_ms: float | None = None
    overhead_p95_ms: float | None = None
    scout: ScoutTimes = NOT_ASKED
    by_task: list[Group] = field(default_factory=list)
    by_lane: list[Group] = field(default_factory=list)
    by_location: list[Group] = field(default_factory=list)
    by_tier: list[Group] = field(default_factory=list)
    by_key: list[Group] = field(default_factory=list)
    by_session: list[Group] = field(default_factory=list)
    advice: list[TaskAdvice] = field(default_factory=list)
    validation: Trend = UNKNOWN
    sweeps: list[Swept] = field(default_factory=list)
    background_usd: float = 0.0
    escalated: Escalated = Escalated()
    labels: dict[str, int] = field(default_factory=dict)
    rejected: list[Failed] = field(default_factory=list)
    fallbacks: list[Failed] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)


def open_and_read(config: Config, since_s: int, now: float) -> Report:
    """The report of the configured database. Raises ConfigError, OSError, SQLAlchemyError."""
    engine = state.open_database(config.state.resolve(), durable=False)
    try:
        return read(engine, config, since_s, now)
    finally:
        engine.dispose()


def read(engine: Engine, config: Config, since_s: int, now: float) -> Report:
    """The report of the last `since_s` seconds before `now` (Unix seconds). Raises SQLAlchemyError."""
    with engine.connect().execution_options(**state.READ_ONLY) as connection:
        until_ms = int(now * 1000)
        return _read(connection, config, until_ms - since_s * 1000, until_ms)


def document(report: Report) -> dict[str, JsonValue]:
    """As JSON; its fields are described in docs/economics.md."""
    return asdict(report)


def _read(connection: Connection, config: Config, since: int, until: int) -> Report:
    tables = inspect(connection)
    if not tables.has_table(FEEDBACK.name):
        return _nothing(config, since, until)
    per_minute = config.outcomes.correction_usd_per_hour * 1e6 / 60
    by = queries.groups_by_each(connection, since, DIMENSIONS, per_minute)
    total = next(iter(by[queries.TOTAL]), None)
    middle = (since + until) // 2
    halves = queries.half(connection, since, middle), queries.half(connection, middle, NEVER)
    # A database that only an older version has written has no such table.
    has_scout = tables.has_table(SCOUT.name)
    scout = queries.scout(connection, since, SCOUT_LIMIT_MS) if has_scout else NOT_ASKED
    failed = [Failed(*row) for row in queries.attempts(connection, since)]
    tier1 = _tier1_share(by["tier"])

    def reach(column: ColumnElement[Any], where: ColumnElement[bool], *shares: float) -> list[float | None]:
        return queries.percentiles(connection, since, column, where, shares)

    overhead_p50, overhead_p95 = reach(_d.overhead_ms, _d.error.is_(None), 0.5, 0.95)
    return Report(
        since_ms=since,
        until_ms=until,
        baseline_lane=baseline_lane(config),
        correction_usd_per_hour=config.outcomes.correction_usd_per_hour,
        total=total,
        tier1_share=tier1,
        local_share=_local_share(total),
        saved_share=_saved_share(total),
        local_p95_ms=reach(_d.latency_ms, queries.LOCAL, 0.95)[0],
        local_first_p95_ms=reach(_d.first_ms, queries.LOCAL, 0.95)[0],
        overhead_p50_ms=overhead_p50,
        overhead_p95_ms=overhead_p95,
        scout=scout,
        by_task=by["task"],
        by_lane=by["lane"],
        by_location=by["location"],
        by_tier=by["tier"],
        by_key=by["key"],
        by_session=queries.busiest(connection, since, _d.session, per_minute),
        advice=[_advice(group) for group in by["task"]],
        validation=_trend(*halves),
        sweeps=[_swept(cell, config) for cell in sweeps.cells(connection, since)],
        background_usd=sweeps.spent_usd(connection, since),
        escalated=_escalated(*queries.escalated(connection, since)),
        labels=dict(queries.labels(connection, since)),
        rejected=[one for one in failed if one.outcome in POOR],
        fallbacks=[one for one in failed if one.outcome not in POOR],
        alerts=[*_missed(total, tier1), *_alerts(*halves), *_late(scout)],
    )


def _nothing(config: Config, since: int, until: int) -> Report:
    """Nobody has been tracked here yet."""
    rate = config.outcomes.correction_usd_per_hour
    return Report(since, until, baseline_lane(config), rate)


def _local_share(total: Group | None) -> float | None:
    answered = total.local + total.cloud if total else 0
    return total.local / answered if total and answered else None


def _tier1_share(tiers: list[Group]) -> float | None:
    """Of the answers, those of the lowest tier."""
    answers = {group.name: group.local + group.cloud for group in tiers}
    return answers.get("1", 0) / sum(answers.values()) if any(answers.values()) else None


def _saved_share(total: Group | None) -> float | None:
    return 1 - total.billed_usd / total.baseline_usd if total and total.baseline_usd else None


def _advice(group: Group) -> TaskAdvice:
    rate = group.fallback_rate
    advice: Advice = "keep"
    if group.decisions < ENOUGH:
        advice = "too few"
    elif rate > PROMOTE_OVER:
        advice = "promote"
    elif rate < DEMOTE_UNDER and group.cloud > group.local:
        advice = "consider demoting"
    return TaskAdvice(group.name, group.decisions, rate, advice)


def _swept(cell: sweeps.Cell, config: Config) -> Swept:
    found = evidence.weigh(cell.good, cell.judged - cell.good, config.sweeps.good_from)
    return Swept(
        task=cell.task,
        from_tier=cell.from_tier,
        to_tier=cell.to_tier,
        samples=cell.samples,
        judged=cell.judged,
        good=cell.good,
        low=found.low,
        high=found.high,
        agreement=cell.agreement,
        cost_usd=cell.cost_usd,
        advice=found.advice,
    )


def _escalated(decisions: int, successes: int) -> Escalated:
    return Escalated(decisions, successes, successes / decisions if decisions else None)


def _trend(before: Half, after: Half) -> Trend:
    """A change is told where it is more than chance: two proportions, three standard errors."""
    if min(before.decisions, after.decisions) < ENOUGH:
        return Trend(_rate(before), _rate(after), TOO_FEW)
    both = (before.invalid + after.invalid) / (before.decisions + after.decisions)
    error = math.sqrt(both * (1 - both) * (1 / before.decisions + 1 / after.decisions))
    change = after.invalid / after.decisions - before.invalid / before.decisions
    words = "steady" if abs(change) <= SURE_Z * error else "rising" if change > 0 else "falling"
    return Trend(_rate(before), _rate(after), words)


def _rate(half: Half) -> float | None:
    return half.invalid / half.decisions if half.decisions else None


def _missed(total: Group | None, tier1: float | None) -> Iterator[str]:
    """Targets that were missed on the dear side; above them there is nothing to mend."""
    if total is None or total.decisions < ENOUGH:
        return
    if tier1 is not None and tier1 < TIER1_TARGET[0]:
        yield (
            f"Tier 1 gave {tier1:.0%} of the answers, under the target of {TIER1_TARGET[0]:.0%} to "
            f"{TIER1_TARGET[1]:.0%}. Sweeps try which task types could move to it."
        )
    saved = _saved_share(total)
    if saved is not None and saved < SAVED_TARGET[0]:
        yield (
            f"Providers billed {saved:.0%} less than always-cloud, under the target of {SAVED_TARGET[0]:.0%} to "
            f"{SAVED_TARGET[1]:.0%}."
            if saved >= 0
            else f"Providers billed {-saved:.0%} more than always-cloud would have."
        )


def _late(scout: ScoutTimes) -> Iterator[str]:
    if scout.asked >= ENOUGH and scout.late is not None and scout.late > SCOUT_LATE:
        yield (
            f"The Scout is late: {scout.late:.0%} of {scout.asked} questions took over {SCOUT_LIMIT_MS:g} ms, and "
            "were decided without it. Give it another replica, or a faster device."
        )


def _alerts(before: Half, after: Half) -> Iterator[str]:
    if _trend(before, after).words == "rising":
        yield "More answers fail validation than in the first half of the time."
    if min(before.decisions, after.decisions) < ENOUGH_TO_SHIFT:
        return
    moved = {
        task: after.tasks.get(task, 0) / after.decisions - before.tasks.get(task, 0) / before.decisions
        for task in sorted(before.tasks.keys() | after.tasks.keys())
    }
    shifted = sum(abs(change) for change in moved.values()) / 2
    if shifted > SHIFTED:
        most = max(moved, key=lambda task: abs(moved[task]))
        yield (
            f"The traffic has shifted: {shifted:.0%} of it is of another task type than in the first half "
            f"of the time, {most} most ({moved[most]:+.0%})."
        )
