"""Why a decision fell as it did, in stable codes and sentences for people.

Pure. Changes nothing about the decision.
"""

from collections.abc import Iterator, Mapping

from serve.config import Config
from serve.decision import Exclusion, LaneState, Reason
from serve.routing_table import Choice
from serve.signals.readings import Sensitivity, SessionReading, Signals
from serve.wish import Wish

# From here on more than half of the likely gain is the prior.
UNFAMILIAR = 0.5


def placing(
    rule: Reason,
    wish: Wish,
    wanted: list[str],
    open_lanes: list[str],
    chain: tuple[str, ...],
    shut_out: Mapping[str, Exclusion],
    states: Mapping[str, LaneState],
    signals: Signals,
    stays: SessionReading | None,
) -> Iterator[Reason]:
    """Why this lane comes first: what the better ones lack, what the client asked for, then the rule."""
    chosen, first = chain[0], open_lanes[0]
    if chosen != first:
        code = "overflow" if states[first] is LaneState.FULL else "lane_down"
        yield Reason(code, f"{first} is {states[first].name.lower()}, so {chosen} goes first.")
    barred = next((shut_out[name] for name in wanted[: wanted.index(first)]), None)
    if barred is not None and barred.code == "class":
        yield Reason(f"sensitivity_{_level(signals, wish)}", f"Not {barred.lane}: {barred.text}.")
    elif barred is not None:
        yield Reason(f"lane_{barred.code.partition(':')[0]}", f"Not {barred.lane}: {barred.text}.")
    if wish.pin:
        yield Reason("pinned", f"The client asked for {wish.pin} by name.")
        return
    if wish.prefer:
        yield Reason(f"wish_{wish.prefer}", f"The client asked for {wish.prefer}.")
    if stays is not None:
        yield Reason("session", f"{stays.lane} answered last in this session, so it goes on there.")
    yield rule


def row(choice: Choice | None, wish: Wish) -> Iterator[Reason]:
    """What the routing table says of the task, where it was asked."""
    if choice is not None and not wish.pin:
        yield Reason(f"row_{choice.task}", choice.text)


def thrift(signals: Signals, scarce: bool) -> Iterator[Reason]:
    """That money is short, where it is."""
    if scarce:
        used = f"{signals.budget.share:.0%} of {signals.budget.tightest} is used"
        yield Reason("budget_downgrade", f"{used}: lanes that cost less come first.")


def doubts(signals: Signals, config: Config) -> Iterator[Reason]:
    """Whether a rule on the likely gain had to go by little more than the prior."""
    asked = any(rule.when.gain_at_least is not None for rule in config.policy.rules)
    table = config.policy.table
    asked = asked or (table is not None and any(row.threshold is not None for row in table.tasks.values()))
    if asked and signals.scout.unfamiliar >= UNFAMILIAR:
        yield Reason(
            "unfamiliar_prompt", "The prompt is unlike the training data: its likely gain is a prior."
        )


def exempted(signals: Signals) -> Iterator[Reason]:
    """What the key sets aside of what was found."""
    if rules := sorted({found.rule for found in signals.sensitivity.set_aside}):
        yield Reason("rules_set_aside", f"The key sets aside what was found: {', '.join(rules)}.")


def _level(signals: Signals, wish: Wish) -> str:
    return Sensitivity(max(signals.sensitivity.level, wish.at_least)).label
