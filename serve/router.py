"""The straight line of one request: wish, view, signals, decision, dispatch.

Knows the order of the stages and what to log. Knows neither HTTP nor Ray.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from serve import policy, schemas, wish
from serve.config import Config
from serve.dispatch import Answer, Attempt, Dispatcher, Job, body_of
from serve.errors import HttpError
from serve.lanes.base import LanePort
from serve.lanes.load import LaneLoad
from serve.policy import Decision
from serve.request import RequestView, view_of
from serve.signals.gather import Judges, gather
from serve.signals.readings import Signals
from serve.wire.openai_chat import ChatRequest, parse

log = logging.getLogger("pointsman.decision")


@dataclass(frozen=True, slots=True)
class Decided:
    """One request, everything known about it, and where it may go."""

    decision_id: str
    request: ChatRequest
    view: RequestView
    signals: Signals
    decision: Decision
    started: float


class Router:
    """One process's router: parses, judges, decides, dispatches."""

    def __init__(self, config: Config, judges: Judges, lanes: Mapping[str, LanePort], load: LaneLoad) -> None:
        self.config, self.load = config, load
        self._judges = judges
        self._dispatcher = Dispatcher(lanes, load, config)

    async def decide(self, body: bytes, headers: Mapping[str, str]) -> Decided:
        """The decision for one body, without running it. Raises HttpError."""
        started = time.monotonic()
        request, wanted = wish.read(parse(body), headers, self.config)
        schemas.check(request)
        view = view_of(request)
        states = self.load.states(interactive=bool(request.stream))

        def matters(signals: Signals) -> bool:
            return policy.scout_matters(signals, view, wanted, states, self.config)

        signals = await gather(view, self._judges, self.config.signals, matters)
        decision = policy.decide(signals, view, wanted, states, self.config)
        return Decided(f"dec_{uuid.uuid4().hex}", request, view, signals, decision, started)

    async def answer(self, decided: Decided) -> Answer:
        """Run the decision. Raises HttpError when no permitted lane gave a usable answer."""
        deadline = asyncio.get_running_loop().time() + self.config.dispatch.deadline_s
        job = Job(decided.request, body_of(decided.request), decided.decision, decided.decision_id, deadline)
        try:
            answer = await self._dispatcher.run(job)
        except HttpError as error:
            _record(decided, None, error)
            raise
        _record(decided, answer, None)
        return answer


def _record(decided: Decided, answer: Answer | None, error: HttpError | None) -> None:
    """One line per request, without a word of its content."""
    signals, decision = decided.signals, decided.decision
    tried = tuple((a.lane, a.outcome, a.seconds) for a in answer.attempts) if answer else ()
    tried = error.tried if error else tried
    line = {
        "decision_id": decided.decision_id,
        "lane": answer.lane if answer else None,
        "reason": decision.reason,
        "error": error.code if error else None,
        "attempts": [[lane, outcome, round(seconds, 3)] for lane, outcome, seconds in tried],
        "class": decision.permit.level.label,
        "rules_fired": sorted({f"{f.detector}:{f.rule}" for f in signals.sensitivity.findings}),
        "input_tokens": signals.context.input_tokens,
        "constraints": signals.constraints.count,
        "difficulty": signals.scout.difficulty,
        "judge": signals.scout.source,
        "task": signals.task.task,
        "policy_version": decision.policy_version[:12],
    }
    log.info("decision %s", json.dumps(line))


def overhead_ms(decided: Decided, attempts: tuple[Attempt, ...]) -> float:
    """Milliseconds since the body was in hand that no lane was responsible for."""
    return max(0.0, (time.monotonic() - decided.started - sum(a.seconds for a in attempts)) * 1000)
