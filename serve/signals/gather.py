"""Fan-out: every signal at once, each with its own safe answer when it fails or is late.

Privacy fails closed (unknown means confidential), cleverness fails open (unknown means ordinary).
"""

import asyncio
import logging
import time
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


Timed = Callable[[str, float, bool], None]
"""Told of each signal: its name, the seconds it took, and whether it failed."""


@dataclass(frozen=True, slots=True)
class Judges:
    """Who judges difficulty: always the pre-scout, and the Scout deployment where there is one."""

    prescout: scout.PreScoutPort
    scout: scout.ScoutPort | None


def untimed(name: str, seconds: float, failed: bool) -> None:
    """Nobody wants to know."""


async def gather(
    view: RequestView,
    judges: Judges,
    config: SignalsConfig,
    matters: Callable[[Signals], bool],
    timed: Timed = untimed,
) -> Signals:
    """All signals of one request. Never raises for a signal's failure.

    The Scout is asked only when the pre-scout is unsure, alongside the other signals, and no longer waited
    for once they show that its answer could not change the decision (`matters`).
    """
    began = time.perf_counter()
    first = scout.prejudge(judges.prescout, view)
    timed("prescout", time.perf_counter() - began, first is scout.NOBODY)
    asked: asyncio.Task[scout.Judgement | None] | None = None
    if judges.scout is not None and first[0].confidence < config.sure_at:
        asked = asyncio.create_task(_ask(judges.scout, view, config.scout_deadline_s, timed))
    try:
        signals = await _read(view, config, first, timed)
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


async def _ask(
    port: scout.ScoutPort, view: RequestView, deadline_s: float, timed: Timed
) -> scout.Judgement | None:
    began = time.perf_counter()
    found = await scout.ask(port, view, deadline_s)
    timed("scout", time.perf_counter() - began, found is None)
    return found


async def _read(view: RequestView, config: SignalsConfig, first: scout.Judgement, timed: Timed) -> Signals:
    limit_s = _limit_s(view, config)
    pressure, density, level = await asyncio.gather(
        _safely("context", context.read, view, _assume_long(view), limit_s, timed),
        _safely("constraints", constraints.read, view, ConstraintReading(0, ()), limit_s, timed),
        read_sensitivity(view, config, timed),
    )
    return Signals(
        context=pressure,
        constraints=density,
        sensitivity=level,
        scout=first[0],
        task=task.settle(view, first[1]),
    )


async def read_sensitivity(
    view: RequestView, config: SignalsConfig, timed: Timed = untimed
) -> SensitivityReading:
    """The sensitivity alone, confidential where it cannot be read in time. Never raises for a failure."""
    level_of = partial(_level, own=config.sensitivity.own)
    return await _safely("sensitivity", level_of, view, _assume_confidential(), _limit_s(view, config), timed)


def _limit_s(view: RequestView, config: SignalsConfig) -> float | None:
    """How long a long view may be read off the event loop; None: it is short, and read on it."""
    long = sum(len(leaf.text) for leaf in view.leaves) > config.inline_chars
    return config.deadline_s if long else None


def _level(view: RequestView, own: sensitivity.Own) -> SensitivityReading:
    """The sensitivity of a request. Raises TypeError for a reading that names no class, such as NaN."""
    reading = sensitivity.read(view, own=own)
    if not isinstance(reading.level, Sensitivity):
        raise TypeError("the reading names no class")
    return reading


T = TypeVar("T")


async def _safely(
    name: str,
    read: Callable[[RequestView], T],
    view: RequestView,
    fallback: T,
    limit_s: float | None,
    timed: Timed,
) -> T:
    """One reading, or its `fallback`. With a limit it is read off the event loop."""
    began, failed = time.perf_counter(), False
    try:
        if limit_s is None:
            return read(view)
        return await asyncio.wait_for(asyncio.to_thread(read, view), limit_s)
    except Exception as error:  # a failing signal becomes its safe reading
        failed = True
        log.warning("signal serve.signals.%s failed: %s", name, type(error).__name__)
        return fallback
    finally:
        timed(name, time.perf_counter() - began, failed)


def _assume_confidential() -> SensitivityReading:
    finding = Finding("sensitivity", "signal_failed", Sensitivity.CONFIDENTIAL, "")
    return SensitivityReading(Sensitivity.CONFIDENTIAL, (finding,))


def _assume_long(view: RequestView) -> ContextReading:
    # No text holds more tokens than bytes.
    size = sum(len(leaf.text.encode()) for leaf in view.leaves)
    return ContextReading(size, view.output_tokens or context.DEFAULT_OUTPUT_TOKENS)
