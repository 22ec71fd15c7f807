"""The Scout signal: how hard is this request, judged first in process, then by the Scout deployment.

Fails open: a Scout that is late or dead leaves the pre-scout's judgement standing.
"""

import asyncio
import logging
from typing import Protocol

from serve.request import RequestView
from serve.signals.readings import ScoutReading, TaskReading

log = logging.getLogger("pointsman.scout")

Judgement = tuple[ScoutReading, TaskReading]

# Without any judge: what most traffic is, with no confidence, so that no rule that asks for some fires.
NOBODY: Judgement = (ScoutReading(0.25, 0.5, 0.25, 0.0, "none"), TaskReading("other", 0.0))


class PreScoutPort(Protocol):
    """A judge in this process, well under a millisecond."""

    def score(self, text: str) -> Judgement: ...


class ScoutPort(Protocol):
    """A judge in another process, one hop away."""

    async def judge(self, text: str) -> Judgement: ...


def prejudge(prescout: PreScoutPort, view: RequestView) -> Judgement:
    """The in-process judgement; the prior if it fails."""
    try:
        return prescout.score(view.prompt or view.conversation)
    except Exception as error:  # whatever happens to a classifier must not stop an answer
        log.warning("pre-scout failed: %s", type(error).__name__)
        return NOBODY


async def ask(scout: ScoutPort, view: RequestView, deadline_s: float) -> Judgement | None:
    """The Scout's judgement, None when it was late or failed."""
    try:
        return await asyncio.wait_for(scout.judge(view.prompt or view.conversation), deadline_s)
    except TimeoutError:
        return None
    except Exception as error:  # whatever happens to a classifier must not stop an answer
        log.warning("scout failed: %s", type(error).__name__)
        return None
