"""An analysis in words and tables for people."""

from serve.ledger import money
from serve.outcomes.analyze.analysis import Analysis, Category
from serve.outcomes.show import Page, Section
from serve.outcomes.told import MISSING, share


def page(found: Analysis) -> Page:
    """The whole analysis."""
    total = found.total
    saved = share(1 - total.after / total.before) if total.before else MISSING
    tier1 = share(total.tier1 / found.judged) if found.judged else MISSING
    lead = (
        f"{found.calls:,} calls, {found.judged:,} of them judged: {tier1} were tier-1 material. "
        f"${money.usd(total.before)} before, ${money.usd(total.after)} with Pointsman: {saved} saved."
    )
    if not found.judged:
        lead = f"{found.calls:,} calls for ${money.usd(total.before)}; without messages none of them can be judged."
    sections = [_before_and_after(found, total), _profile(found)]
    if found.unpriced:
        rows = [(name, f"{count:,}") for name, count in sorted(found.unpriced.items())]
        note = f"No lane has such a model: charged as {found.baseline_lane or 'nothing'}."
        sections.append(Section("Models without a price", ("model", "calls"), rows, note))
    if found.bad_lines:
        rows = [(str(bad.line), bad.why) for bad in found.bad]
        note = f"{found.bad_lines:,} lines were left out."
        sections.append(Section("Lines that could not be read", ("line", "why"), rows, note))
    return Page("Pointsman analysis", lead, tuple(sections), found.document)


def _before_and_after(found: Analysis, total: Category) -> Section:
    columns = ("task type", "calls", "tier 1", "on premises", "confidential", "before $", "after $", "saved")
    note = (
        "After: the first lane of each decision, with the same tokens; what is repaired or escalated costs more. "
        "Each request is judged by itself, without load, budgets or the Scout. What could not be judged costs the same."
    )
    rows = [_row(one) for one in (*found.ordered, total)]
    return Section("Before and after", columns, rows, note)


def _row(one: Category) -> tuple[str, ...]:
    return (
        one.task,
        f"{one.calls:,}",
        _part(one.tier1, one),
        _part(one.local, one),
        _part(one.confidential, one),
        money.usd(one.before),
        money.usd(one.after),
        share(1 - one.after / one.before) if one.before else MISSING,
    )


def _part(count: int, one: Category) -> str:
    return share(count / one.calls) if one.calls else MISSING


def _profile(found: Analysis) -> Section:
    document = found.document
    assert isinstance(document, dict)
    rows = []
    for name, words in (("input_tokens", "input tokens"), ("output_tokens", "output tokens")):
        sizes = document[name]
        if isinstance(sizes, dict) and sizes:
            rows.append((words, *(f"{size:,}" for size in sizes.values())))
    columns = ("per call", "p50", "p90", "p95", "p99", "max")
    note = (
        f"{found.without_output:,} lines do not say how long the answer was: counted as nothing."
        if found.without_output
        else ""
    )
    return Section("Tokens", columns, rows or [(MISSING,) * 6], note)
