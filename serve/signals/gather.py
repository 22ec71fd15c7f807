"""Fan-out: every signal at once, each with its own safe answer when it fails or is late.

Privacy fails closed (unknown means confidential), cleverness fails open (unknown means ordinary).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from serve.config import SignalsConfig
from serve.request import RequestView
from serve.signals import constraints, context, scout, sensitivity, task
from serve.signals.readings import (
    ConstraintReading,
    ContextReading,
    Finding,
    Sensitivity,
    SensitivityReading,
    Signals,
)

log = logging.getLogger("pointsman.signals")


@dataclass(frozen=True, slots=True)
class Judges:
    """Who judges difficulty: always the pre-scout, and the Scout deployment where there is one."""

    prescout: scout.PreScoutPort
    scout: scout.ScoutPort | None


async def gather(
    view: RequestView, judges: Judges, config: SignalsConfig, matters: Callable[[Signals], bool]
) -> Signals:
    """All signals of one request. Never raises for a signal's failure.

    The Scout is asked only when the pre-scout is unsure, alongside the other signals, and no longer waited
    for once they show that its answer could not change the decision (`matters`).
    """
    first = scout.prejudge(judges.prescout, view)
    asked: asyncio.Task[scout.Judgement | None] | None = None
    if judges.scout is not None and first[0].confidence < config.sure_at:
        asked = asyncio.create_task(scout.ask(judges.scout, view, config.scout_deadline_s))
    try:
        signals = await _read(view, config, first)
        if asked is None or not matters(signals):
            return signals
        second = await asked
    finally:
        if asked is not None:
            asked.cancel()
    if second is None:
        return signals
    judged = replace(second[0], gain=first[0].gain, unfamiliar=first[0].unfamiliar)
    return replace(signals, scout=judged, task=task.settle(view, second[1]))


async def _read(view: RequestView, config: SignalsConfig, first: scout.Judgement) -> Signals:
    long = sum(len(leaf.text) for leaf in view.leaves) > config.inline_chars
    pressure, density, level = await asyncio.gather(
        _safely(context.read, view, _assume_long(view), config, long),
        _safely(constraints.read, view, ConstraintReading(0, ()), config, long),
        _safely(partial(_level, own=config.sensitivity.own), view, _assume_confidential(), config, long),
    )
    return Signals(
        context=pressure,
        constraints=density,
        sensitivity=level,
        scout=first[0],
        task=task.settle(view, first[1]),
    )


def _level(view: RequestView, own: sensitivity.Own) -> SensitivityReading:
    """The sensitivity of a request. Raises TypeError for a reading that names no class, such as NaN."""
    reading = sensitivity.read(view, own=own)
    if not isinstance(reading.level, Sensitivity):
        raise TypeError("the reading names no class")
    return reading


T = TypeVar("T")


async def _safely(
    read: Callable[[RequestView], T], view: RequestView, fallback: T, config: SignalsConfig, long: bool
) -> T:
    try:
        if not long:
            return read(view)
        return await asyncio.wait_for(asyncio.to_thread(read, view), config.deadline_s)
    except Exception as error:  # a failing signal becomes its safe reading
        name = "serve.signals.sensitivity" if isinstance(read, partial) else read.__module__
        log.warning("signal %s failed: %s", name, type(error).__name__)
        return fallback


def _assume_confidential() -> SensitivityReading:
    finding = Finding("sensitivity", "signal_failed", Sensitivity.CONFIDENTIAL, "")
    return SensitivityReading(Sensitivity.CONFIDENTIAL, (finding,))


def _assume_long(view: RequestView) -> ContextReading:
    # No text holds more tokens than bytes.
    size = sum(len(leaf.text.encode()) for leaf in view.leaves)
    return ContextReading(size, view.output_tokens or context.DEFAULT_OUTPUT_TOKENS)
