"""A decision in words and as JSON, for `POST /v1/route` and `pointsman route`."""

from pydantic import JsonValue

from serve.preambles import chosen as preambles
from serve.router import Decided
from serve.signals.readings import SessionReading


def as_json(decided: Decided) -> dict[str, JsonValue]:
    """The decision and everything it rests on; never a value from the request."""
    decision, signals, review = decided.decision, decided.signals, decided.decision.review
    return {
        "decision_id": decided.decision_id,
        "lane": decision.chain[0],
        "chain": list(decision.chain),
        "reason": decision.reason,
        "reasons": [{"code": r.code, "text": r.text} for r in decision.reasons],
        "review": {"code": review.code, "text": review.text} if review else None,
        "preambles": _preambles(decided),
        "excluded": [{"lane": e.lane, "code": e.code, "text": e.text} for e in decision.excluded],
        "permit": {"class": decision.permit.level.label, "locations": [*sorted(decision.permit.locations)]},
        "signals": {
            "input_tokens": signals.context.input_tokens,
            "output_tokens": signals.context.output_tokens,
            "constraints": signals.constraints.count,
            "constraint_kinds": list(signals.constraints.kinds),
            "sensitivity": signals.sensitivity.level.label,
            "findings": [
                {"detector": f.detector, "rule": f.rule, "class": f.level.label, "path": f.path}
                for f in signals.sensitivity.findings[:50]
            ],
            "set_aside": [*sorted({f.rule for f in signals.sensitivity.set_aside})],
            "difficulty": signals.scout.difficulty,
            "probabilities": {
                "trivial": round(signals.scout.trivial, 4),
                "standard": round(signals.scout.standard, 4),
                "complex": round(signals.scout.complex, 4),
            },
            "confidence": round(signals.scout.confidence, 4),
            "gain": round(signals.scout.gain, 4),
            "unfamiliar": round(signals.scout.unfamiliar, 4),
            "judge": signals.scout.source,
            "task": signals.task.task,
            "session": _session(signals.session),
        },
        "policy_version": decision.policy_version,
        "explanation": in_words(decided),
    }


_OF_ANOTHER_KIND = ("cannot:chat", "cannot:embeddings")
"""Nobody expects an answer of a lane that makes embeddings, nor the other way round."""


def in_words(decided: Decided) -> str:
    """The decision as a few sentences a person can check."""
    decision, signals = decided.decision, decided.signals
    others = ", then ".join(decision.chain[1:])
    lines = [
        f"Goes to {decision.chain[0]}{f'; if that fails to {others}' if others else ', and nowhere else'}.",
        *(reason.text for reason in decision.reasons),
        f"It is a {signals.scout.difficulty} {signals.task.task.replace('_', ' ')} request "
        f"({signals.scout.confidence:.0%} sure, says the {_judge(signals.scout.source)}) of "
        f"{signals.context.input_tokens:,} tokens with {signals.constraints.count} strict constraint(s).",
        f"Its data is {decision.permit.level.label}: it may be answered on {_places(decision.permit.locations)}."
        + _because(decided),
    ]
    if decision.review is not None:
        lines.append(f"A reviewer must approve the answer first: {decision.review.text}")
    if decided.checks is not None:
        lines.append(
            "An answer that does not pass the checks of the client goes to nobody: the next lane is asked."
        )
    lines += [
        f"Not {item.lane}: {item.text}." for item in decision.excluded if item.code not in _OF_ANOTHER_KIND
    ]
    return "\n".join(dict.fromkeys(lines))


def _preambles(decided: Decided) -> dict[str, JsonValue]:
    """By lane."""
    config, task = decided.edition.config, decided.signals.task
    found = {name: preambles.of(config, name, task) for name in decided.decision.chain}
    return {name: {"name": one.name, "version": one.version} for name, one in found.items() if one}


def _session(session: SessionReading | None) -> JsonValue:
    if session is None:
        return None
    return {"lane": session.lane, "rule": session.rule, "known_by": session.known_by}


def _judge(source: str) -> str:
    return {"none": "prior: no judge answered", "scout": "Scout"}.get(source, source)


def _places(locations: frozenset[str]) -> str:
    return ", ".join(sorted(locations)) or "no lane at all"


def _because(decided: Decided) -> str:
    found = sorted({f"{f.rule} ({f.detector}) at {f.path}" for f in decided.signals.sensitivity.findings})
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f" Found: {'; '.join(found[:3])}{more}." if found else ""
