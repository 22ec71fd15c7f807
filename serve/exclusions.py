"""Which lanes may not answer a request, and what it is told when none is left.

Pure. Does not put lanes in order.
"""

from collections.abc import Iterator, Mapping

from serve.config import ON_PREMISES, SWITCHED_OFF, Config, Lane
from serve.decision import Exclusion, LaneState
from serve.egress import Permit
from serve.errors import (
    BudgetExceeded,
    EgressDenied,
    KeyForbids,
    LedgerUnavailable,
    NoLaneAble,
    NoLaneAvailable,
)
from serve.preambles import chosen as preambles
from serve.request import RequestView
from serve.signals.readings import BudgetReading, Signals
from serve.wish import Wish


def exclusions(
    signals: Signals,
    view: RequestView,
    wish: Wish,
    permit: Permit,
    states: Mapping[str, LaneState],
    config: Config,
) -> Iterator[Exclusion]:
    """Each lane that may not answer this request, with the first thing that stands against it."""
    held = signals.context.input_tokens if signals.context.longest is None else signals.context.longest
    tokens = held + (view.output_tokens or 0)
    unpaid = dict(signals.budget.refused)
    for lane in config.lanes:
        missing = sorted(view.needs - lane.capabilities)
        needed = tokens + preambles.tokens(config, lane.name, signals.task)
        if lane.embeddings is not view.embeds:
            what, text = (
                ("embeddings", "makes no embeddings") if view.embeds else ("chat", "makes embeddings only")
            )
            yield Exclusion(lane.name, f"cannot:{what}", text)
        elif lane.location not in permit.locations:
            text = f"{permit.level.label} data may not go to {lane.location}"
            yield Exclusion(lane.name, "class", text)
        elif wish.lanes is not None and lane.name not in wish.lanes:
            yield Exclusion(lane.name, "key", "the key may not use it")
        elif lane.kind != "encoder" and needed > lane.context:  # an encoder counts in tokens of its own
            yield Exclusion(lane.name, "context", f"needs {needed:,} tokens, holds {lane.context:,}")
        elif missing:
            yield Exclusion(lane.name, f"cannot:{missing[0]}", f"cannot do {', '.join(missing)}")
        elif view.remote_media and lane.location in ON_PREMISES:
            # Its server would open the address, from inside the network, for a stranger.
            yield Exclusion(lane.name, "cannot:fetch", "fetches no images: send them as data: URLs")
        elif not lane.enabled or states[lane.name] is LaneState.OFF:
            yield Exclusion(lane.name, "off", off_because(lane) or "switched off")
        elif lane.name in unpaid:
            yield Exclusion(lane.name, "budget", unpaid[lane.name])


def off_because(lane: Lane) -> str | None:
    """Why the configuration keeps the lane from answering anybody, None when it does not."""
    if not lane.enabled:
        return SWITCHED_OFF
    return None if lane.kind == "engine" else lane.off_because


def nobody(
    wanted: list[str], shut_out: Mapping[str, Exclusion], permit: Permit, budget: BudgetReading
) -> EgressDenied | KeyForbids | NoLaneAble | NoLaneAvailable | BudgetExceeded:
    """The refusal of a request that each lane it wants is shut out from."""
    why = "; ".join(f"{name}: {shut_out[name].text}" for name in wanted)
    codes = {shut_out[name].code for name in wanted}
    unable = codes - {"class", "key", "off", "budget"}
    if "budget" in codes:
        words = f"No lane that costs nothing may answer this request ({why})"
        return LedgerUnavailable(words) if budget.down else BudgetExceeded(words)
    if unable == {"context"}:
        message = f"The request is too long for every lane it may use ({why})"
        return NoLaneAble(message, code="context_length_exceeded")
    if "off" in codes and not unable:
        return NoLaneAvailable(f"No permitted lane is switched on ({why})")
    if "class" in codes:
        return EgressDenied(
            f"The request is {permit.level.label} and no lane it may use can answer it ({why})"
        )
    if "key" in codes:
        return KeyForbids(f"No lane that this key may use can answer this request ({why})")
    return NoLaneAble(f"No lane can answer this request ({why})")
