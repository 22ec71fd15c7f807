"""What is kept of a routing table's choice, for whoever learns from what came of it."""

from serve.outcomes.row import Chosen
from serve.trail import Ended


def chosen(ended: Ended, at: int) -> Chosen | None:
    """None where no table was drawn or something else decided. `at`: Unix milliseconds."""
    choice, drawn = ended.decision.choice, ended.decided.edition.drawn
    if choice is None or drawn is None:
        return None
    signals = ended.decided.signals
    p1, p2, p3 = drawn.lots.propensity(signals.task, signals.scout)
    trial = drawn.lots.trial
    return Chosen(
        decision_id=ended.decided.decision_id,
        at=at,
        table=choice.version,
        lot=drawn.lot.name,
        trial=trial,
        apart=trial is not None and drawn.lots.apart(signals.task, signals.scout),
        task=choice.task,
        gain=choice.gain,
        tier=choice.tier,
        p1=p1,
        p2=p2,
        p3=p3,
    )
