"""What is read when somebody looks, rather than counted: how full the lanes are, and what can be written."""

from serve.decision import LaneState
from serve.metrics import catalogue as of
from serve.metrics.sheet import Series, Sheet
from serve.router import Router


def taken(router: Router) -> Sheet:
    """Everything one Router knows in numbers, now."""
    sheet = router.meters.book.sheet()
    audit = router.audit.status()
    counts = {
        **sheet.counts,
        (of.AUDIT_FAILURES.name, ()): _number(audit["failures"]),
        (of.AUDIT_LOST.name, ()): _number(audit["lost"]),
    }
    gauges: dict[Series, float] = {
        (of.AUDIT_UP.name, ()): float(audit["state"] != "failing"),
        (of.LEDGER_UP.name, ()): float(router.ledger.state != "down"),
        (of.RELOAD_REFUSED.name, ()): float(router.reload_refused),
    }
    for lane in router.config.lanes:
        numbers = router.load.numbers(lane.name)
        counts[of.SPILLS.name, (lane.name,)] = numbers["spilled"]
        gauges[of.IN_FLIGHT.name, (lane.name,)] = numbers["in_flight"]
        gauges[of.WAIT.name, (lane.name,)] = numbers["predicted_wait_s"]
        ready = lane.enabled and router.load.state(lane) is LaneState.READY
        gauges[of.READY.name, (lane.name,)] = float(ready)
    return Sheet(counts, sheet.spreads, gauges)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int) else 0.0
