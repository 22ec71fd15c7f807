"""A report in words and tables for people."""

from datetime import UTC, datetime

from serve.outcomes.cpst import Cpst
from serve.outcomes.queries import Group
from serve.outcomes.report import (
    DEMOTE_UNDER,
    ENOUGH,
    PROMOTE_OVER,
    SAVED_TARGET,
    SCOUT_LIMIT_MS,
    TIER1_TARGET,
    Failed,
    Report,
    document,
)
from serve.outcomes.show import Page, Section

MISSING = "-"
_CPST_NOTE = (
    "$ per success: everything that was spent, on failures and people's corrections too, over the successes; "
    "95 % interval by the delta method on its logarithm."
)


def page(report: Report) -> Page:
    """The whole report."""
    alerts = [(alert,) for alert in report.alerts] or [("none",)]
    sections = [_targets(report), Section("Alerts", ("",), alerts)]
    sections += [_cpst("Cost per successful task", "task type", report.by_task, _CPST_NOTE)]
    sections += [
        _cpst(f"By {name}", name, groups)
        for name, groups in (
            ("lane", report.by_lane),
            ("location", report.by_location),
            ("tier", report.by_tier),
            ("key", report.by_key),
        )
    ]
    sections += [_split(report), _advice(report), _sweeps(report), _quality(report)]
    sections += [
        _failed("Cheap answers rejected by validation", report.rejected),
        _failed("Fallbacks that fired", report.fallbacks),
    ]
    lead = f"{_day(report.since_ms)} to {_day(report.until_ms)} (UTC)."
    if report.total is None:
        lead += " No decision was tracked in this time."
    return Page("Pointsman report", lead, tuple(sections), document(report))


def _targets(report: Report) -> Section:
    total = report.total
    lane = report.baseline_lane or "no cloud lane"
    rows = [
        ("decisions", str(total.decisions) if total else "0", ""),
        ("answered by tier 1", share(report.tier1_share), _span(TIER1_TARGET)),
        ("answered locally", share(report.local_share), ""),
        (
            "answered by the cloud",
            share(1 - report.local_share) if report.local_share is not None else MISSING,
            "",
        ),
        ("provider spend, $", usd(total.billed_usd) if total else MISSING, ""),
        (f"the same always at {lane}, $", usd(total.baseline_usd) if total else MISSING, ""),
        ("saved", share(report.saved_share), _span(SAVED_TARGET)),
        ("own hardware, $", usd(total.cost_usd - total.billed_usd) if total else MISSING, ""),
        ("corrections by people, $", usd(total.correction_usd) if total else MISSING, ""),
        ("sweeps and the judge, $ (in no other figure)", usd(report.background_usd), ""),
        ("$ per success", usd(total.cpst.usd) if total else MISSING, ""),
        ("its 95 % interval", _interval(total.cpst) if total else MISSING, ""),
        ("fallback rate", share(total.fallback_rate) if total else MISSING, ""),
        ("local p95, ms", _ms(report.local_p95_ms), ""),
        ("local p95 until the first words, ms", _ms(report.local_first_p95_ms), ""),
        ("overhead p50 / p95, ms", f"{_ms(report.overhead_p50_ms)} / {_ms(report.overhead_p95_ms)}", "50"),
        ("Scout asked", str(report.scout.asked), ""),
        (
            "Scout p50 / p95, ms",
            f"{_ms(report.scout.p50_ms)} / {_ms(report.scout.p95_ms)}",
            f"{SCOUT_LIMIT_MS:g}",
        ),
        (f"Scout over {SCOUT_LIMIT_MS:g} ms", share(report.scout.late), ""),
    ]
    return Section("In total", ("", "measured", "target"), rows)


def _cpst(title: str, name: str, groups: list[Group], note: str = "") -> Section:
    columns = (name, "decisions", "success", "judged", "cost $", "$ per success", "95 % interval")
    rows = [
        (
            group.name,
            str(group.decisions),
            share(group.successes / group.decisions),
            str(group.judged),
            usd(group.cost_usd + group.correction_usd),
            usd(group.cpst.usd),
            _interval(group.cpst),
        )
        for group in groups
    ]
    return Section(title, columns, rows or [(MISSING,) * len(columns)], note)


def _split(report: Report) -> Section:
    columns = (
        *("session", "decisions", "local", "cloud", "failed"),
        *("provider spend $", "$ per success", "95 % interval"),
    )
    rows = [
        (
            group.name,
            str(group.decisions),
            str(group.local),
            str(group.cloud),
            str(group.decisions - group.local - group.cloud),
            usd(group.billed_usd),
            usd(group.cpst.usd),
            _interval(group.cpst),
        )
        for group in report.by_session
    ]
    note = "Sessions are shown by a hash of their name (x-pointsman-session)."
    return Section("Local and cloud by session", columns, rows or [(MISSING,) * len(columns)], note)


def _advice(report: Report) -> Section:
    rows = [(one.task, str(one.decisions), share(one.fallback_rate), one.advice) for one in report.advice]
    note = (
        f"Over {PROMOTE_OVER:.0%}: start such tasks on a stronger lane (promote). Under {DEMOTE_UNDER:.0%} and mostly "
        f"in the cloud: a cheaper lane may do. Fewer than {ENOUGH} decisions say nothing."
    )
    columns = ("task type", "decisions", "fallback rate", "advice")
    return Section("Where the first lane did not answer", columns, rows or [(MISSING,) * 4], note)


def _sweeps(report: Report) -> Section:
    columns = ("task type", "tiers", "samples", "good", "95 % bounds", "agreement", "cost $", "routing table")
    rows = [
        (
            one.task,
            f"{one.from_tier} to {one.to_tier}",
            str(one.samples),
            f"{one.good} of {one.judged}",
            f"{share(one.low)} to {share(one.high)}" if one.judged else MISSING,
            share(one.agreement),
            usd(one.cost_usd),
            one.advice,
        )
        for one in report.sweeps
    ]
    note = (
        "What the tier below would have answered. The bounds hold however often one looks; `may change`: even the "
        "lower one reaches sweeps.good_from."
    )
    return Section("Sweeps", columns, rows or [(MISSING,) * len(columns)], note)


def _quality(report: Report) -> Section:
    total, trend = report.total, report.validation
    rows = [
        ("validation failures", share(total.validation_failure_rate) if total else MISSING),
        ("in the first half of the time", share(trend.before)),
        ("in the second half", f"{share(trend.after)} ({trend.words})"),
        ("escalated", str(report.escalated.decisions)),
        ("of these, the next lane succeeded", share(report.escalated.share)),
        ("answers somebody judged", str(total.judged) if total else "0"),
        ("complaints", str(total.complaints) if total else "0"),
        *((f"label {label}", str(count)) for label, count in sorted(report.labels.items())),
    ]
    return Section("Quality", ("", "measured"), rows)


def _failed(title: str, failed: list[Failed]) -> Section:
    rows = [(one.task, one.lane, one.outcome, str(one.count)) for one in failed]
    return Section(title, ("task type", "lane", "how it ended", "times"), rows or [("none", "", "", "")])


def usd(amount: float | None) -> str:
    """US dollars: cents from a dollar on, micro-dollars below."""
    if amount is None:
        return MISSING
    return f"{amount:,.2f}" if amount >= 1 or not amount else f"{amount:,.6f}"


def share(value: float | None) -> str:
    """A share of 1 as per cent."""
    return MISSING if value is None else f"{value:.1%}"


def _interval(value: Cpst) -> str:
    return MISSING if value.low is None else f"{usd(value.low)} to {usd(value.high)}"


def _span(target: tuple[float, float]) -> str:
    return f"{target[0]:.0%} to {target[1]:.0%}"


def _ms(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.1f}"


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
