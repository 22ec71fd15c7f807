"""The row of one request that is over: what is kept of it, and what it would have cost at a cloud lane.

Knows decisions and money. Does not know databases.
"""

from serve.config import ON_PREMISES, Config
from serve.lane_errors import AnswerInvalid, AnswerUnsure, LaneAbsent, LaneFull, LaneSilent
from serve.ledger.terms import Terms
from serve.outcomes.row import Row, Step, Tracked
from serve.trail import Ended

ANSWERED = frozenset({"ok", "repaired", "reasked"})
NO_FAULT = ANSWERED | {"asked", "cancelled"}
POOR = frozenset({AnswerInvalid.outcome, AnswerUnsure.outcome})
PASSED = frozenset({kind.outcome for kind in (LaneFull, LaneAbsent, LaneSilent)})


def tracked(ended: Ended, at: int) -> Tracked:
    """What is kept of it. `at`: Unix milliseconds."""
    steps = tuple(
        Step(place, lane, outcome, _ms(seconds)) for place, (lane, outcome, seconds) in enumerate(ended.tried)
    )
    scout_s = ended.decided.scout_s
    return Tracked(_row(ended, steps, at), steps, None if scout_s is None else round(scout_s * 1000, 3))


def baseline_lane(config: Config) -> str | None:
    """The lane of always-cloud: the configured one, else the first one outside of the highest tier."""
    if config.outcomes.baseline is not None:
        return config.outcomes.baseline
    outside = [lane for lane in config.lanes if lane.location not in ON_PREMISES]
    return max(outside, key=lambda lane: lane.tier).name if outside else None


def baseline(terms: Terms, config: Config, tokens: tuple[int, int, int], lane: str | None) -> int:
    """Micro-dollars of (input, cached, output) at that lane; what was cached counts only where it was its own cache."""
    name = baseline_lane(config)
    if name is None:
        return 0
    taken, cached, given = tokens
    return terms.tariffs[name].cost(taken, min(cached, taken) if name == lane else 0, given)


def always_cloud(ended: Ended) -> int:
    """Micro-dollars that the tokens of its answer cost at the lane of always-cloud."""
    edition = ended.decided.edition
    return baseline(edition.terms, edition.config, _tokens(ended), ended.lane)


def _row(ended: Ended, steps: tuple[Step, ...], at: int) -> Row:
    decided, decision, bill = ended.decided, ended.decision, ended.decided.bill
    signals, config = decided.signals, decided.edition.config
    lane = config.lane(ended.lane) if ended.lane else None
    taken, _, given = _tokens(ended)
    answered_at = ended.at if ended.answered_at is None else ended.answered_at
    asked_s = sum(seconds for _, _, seconds in ended.tried)
    failed = [step.outcome for step in steps if step.outcome not in NO_FAULT]
    worse = sum(outcome in POOR for outcome in failed)
    return Row(
        decision_id=decided.decision_id,
        at=at,
        key=decided.visit.key.name,
        team=decided.visit.key.team,
        session=bill.payer.session_id,
        data_class=decision.permit.level.label,
        task=signals.task.task,
        tier=lane.tier if lane else None,
        location=lane.location if lane else None,
        lane=ended.lane,
        policy_version=decision.policy_version,
        reason=decision.reason,
        difficulty=signals.scout.difficulty,
        judge=signals.scout.source,
        constraint_count=signals.constraints.count,
        input_tokens=taken,
        output_tokens=given,
        cost=bill.cost,
        billed=bill.billed,
        baseline=always_cloud(ended),
        latency_ms=_ms(ended.at - decided.started),
        first_ms=None if ended.answered_at is None else _ms(ended.answered_at - decided.started),
        overhead_ms=round(max(0.0, answered_at - decided.started - asked_s) * 1000, 3),
        attempts=len(steps),
        fallbacks=len(failed) - worse,
        escalations=len(ended.trail.escalations),
        spilled=decision.spilled_from is not None or any(outcome in PASSED for outcome in failed),
        verdict=_verdict(ended, steps),
        error=None if ended.status == "ok" else ended.status,
        stream=bool(decided.request.stream),
        reviewed=decision.review is not None,
    )


def _tokens(ended: Ended) -> tuple[int, int, int]:
    """Input, cached part of it, and output, as the lane says; else as they were counted here."""
    usage = ended.trail.usage
    if usage is None:
        return ended.decided.signals.context.input_tokens, 0, 0
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return _sane(usage.prompt_tokens), _sane(cached), _sane(usage.given)


def _sane(count: int) -> int:
    """A lane may say anything."""
    return min(max(0, count), 10_000_000)


def _verdict(ended: Ended, steps: tuple[Step, ...]) -> str | None:
    if ended.lane is not None:
        last = next((step.outcome for step in reversed(steps) if step.lane == ended.lane), None)
        return {"ok": "valid", "repaired": "repaired", "reasked": "reasked", "unsure": "unsure"}.get(
            last or ""
        )
    return "invalid" if any(step.outcome == AnswerInvalid.outcome for step in steps) else None


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
