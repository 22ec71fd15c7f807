"""A routing table in words: how its rows differ from the configured one, and what proved it."""

from pydantic import JsonValue, TypeAdapter, ValidationError

from serve.learning.propose import Proof
from serve.routing_table import RoutingTable, Row

_PROOF = TypeAdapter(Proof)


def differences(table: RoutingTable, configured: RoutingTable) -> list[str]:
    """One line for each row that is another than in the configured table."""
    return [
        f"{name.replace('_', ' ')}: {_row(row)} (configured: {_row(configured.tasks[name])})"
        for name, row in table.tasks.items()
        if (row.tier, row.threshold) != (configured.tasks[name].tier, configured.tasks[name].threshold)
    ]


def proof(evidence: JsonValue) -> list[str]:
    """What the log said of the table that was in force then, of this one, and of the highest tier; empty without it."""
    found = evidence.get("proof") if isinstance(evidence, dict) else None
    try:
        told = _PROOF.validate_python(found)
    except ValidationError:
        return []
    known = (
        ("before", told.current),
        ("this one", told.candidate),
        ("always the highest tier", told.highest),
    )
    return [
        f"{name}: {one.success:.1%} succeed, ${one.cost / 1e3:.4f} per 1,000 requests" for name, one in known
    ]


def _row(row: Row) -> str:
    raised = "" if row.threshold is None else f", one higher from a likely gain of {row.threshold:g}"
    return f"tier {row.tier}{raised}"
