"""The straight line of one request: wish, view, signals, decision, dispatch.

Knows the order of the stages and what to log. Knows neither HTTP nor Ray.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from serve import policy, schemas, wish
from serve.audit.entry import Entry, refusal
from serve.audit.port import Audit, NoAudit
from serve.config import Config
from serve.dispatch import Answer, Attempt, Dispatcher, Job, body_of
from serve.errors import HttpError
from serve.keys.limiter import Visit
from serve.lanes.base import LanePort
from serve.lanes.load import LaneLoad
from serve.learning.force import TablesInForce
from serve.learning.lots import Drawn
from serve.ledger import money
from serve.ledger.bill import Bill
from serve.ledger.desk import Desk
from serve.ledger.purse import SESSION_HEADER, Purse
from serve.ledger.terms import Terms
from serve.metrics.meters import Meters
from serve.outcomes.port import NoTracking, Tracking
from serve.policy import Decision
from serve.reload import Reload
from serve.request import RequestView, view_of
from serve.signals.gather import Judges, gather
from serve.signals.readings import Signals
from serve.trail import Ended, Trail
from serve.wire.openai_chat import ChatRequest, parse

log = logging.getLogger("pointsman.decision")


@dataclass(frozen=True, slots=True)
class Edition:
    """One configuration in force, and who follows it. A request keeps the edition it started with."""

    config: Config
    dispatcher: Dispatcher
    terms: Terms
    drawn: Drawn | None = None  # the routing table that it decides by, where several may


@dataclass(frozen=True, slots=True)
class Decided:
    """One request, everything known about it, and where it may go."""

    decision_id: str
    request: ChatRequest
    view: RequestView
    signals: Signals
    decision: Decision
    started: float
    visit: Visit
    edition: Edition
    bill: Bill


class Router:
    """One process's router: parses, judges, decides, dispatches."""

    def __init__(
        self,
        config: Config,
        judges: Judges,
        lanes: Mapping[str, LanePort],
        load: LaneLoad,
        audit: Audit | None = None,
        tracking: Tracking | None = None,
    ) -> None:
        self.load = load
        self.audit = audit or NoAudit()
        self.tracking = tracking or NoTracking()
        self._judges, self._lanes = judges, lanes
        self._reload = Reload(config)
        self._edition = Edition(config, Dispatcher(lanes, load, config), Terms(config))
        self._tables = TablesInForce(self._edition.config)
        self.ledger = Desk(config.state.resolve(), keep_days=config.outcomes.retention_days)
        self.meters = Meters(config)

    @property
    def config(self) -> Config:
        """What decides the next request."""
        return self._edition.config

    @property
    def reload_refused(self) -> str | None:
        """Why the last change of the configuration was refused, None when it was taken."""
        return self._reload.fault

    def reconfigure(self, user_config: JsonValue) -> None:
        """Decide by the changed configuration from the next request on. One that is wrong changes nothing."""
        config = self._reload.take(user_config)
        if config.version != self.config.version:
            self._edition = Edition(config, Dispatcher(self._lanes, self.load, config), Terms(config))
            self._tables.reconfigure(config)
            self.meters.follow(config)

    @property
    def tables(self) -> TablesInForce:
        """The routing tables that decide."""
        return self._tables

    async def decide(
        self, body: bytes, headers: Mapping[str, str], visit: Visit, *, trial: bool = False
    ) -> Decided:
        """The decision for one body, without running it. Raises HttpError.

        The audit log is told when the policy refuses it, but not of a `trial`, whose answer nobody waits for.
        """
        started, decision_id = time.monotonic(), f"dec_{uuid.uuid4().hex}"
        edition = self._drawn(visit, headers, decision_id)
        config = edition.config
        parsed = parse(body, config.server.bounds)
        request, wanted = wish.read(parsed, headers, config, visit.rights)
        schemas.check(request)
        view = view_of(request)
        states = self.load.states(interactive=bool(request.stream))
        purse = Purse(self.ledger, edition.terms, visit.key, headers)

        def seen(signals: Signals) -> Signals:
            kept = replace(signals, sensitivity=signals.sensitivity.without(wanted.exempt))
            return purse.seen(kept, request, view)

        def matters(signals: Signals) -> bool:
            return policy.scout_matters(seen(signals), view, wanted, states, config)

        signals = seen(await gather(view, self._judges, config.signals, matters, self.meters.signal))
        try:
            decision = policy.decide(signals, view, wanted, states, config)
        except HttpError as error:
            if not trial:
                level = max(signals.sensitivity.level, wanted.at_least)
                told = refusal(decision_id, visit.key.id, level, signals, config.version, error)
                self.audit.submit(told)
            raise
        bill = purse.bill(decision_id, signals, request, view)
        bill.watch = self.meters.spent
        return Decided(decision_id, request, view, signals, decision, started, visit, edition, bill)

    def _drawn(self, visit: Visit, headers: Mapping[str, str], decision_id: str) -> Edition:
        """The edition in force with the routing table that was drawn for this session, or decision."""
        session = headers.get(SESSION_HEADER)
        unit = decision_id if session is None else f"{visit.key.name}\0{session}"
        drawn = self._tables.draw(unit)
        return self._edition if drawn is None else replace(self._edition, config=drawn[1], drawn=drawn[0])

    async def answer(self, decided: Decided) -> Answer:
        """Run the decision. Raises HttpError when no permitted lane gave a usable answer."""
        entry = Entry(self.audit, decided, self._ended)
        with entry.watched():
            decided = replace(decided, decision=await entry.begin())
            return entry.follow(await self._run(decided, entry.trail))

    def _ended(self, ended: Ended) -> None:
        self.tracking.ended(ended)
        self.meters.ended(ended)

    async def _run(self, decided: Decided, trail: Trail) -> Answer:
        edition = decided.edition
        deadline = asyncio.get_running_loop().time() + edition.config.dispatch.deadline_s
        context, visit = decided.signals.context, decided.visit
        request = decided.request
        if decided.decision.review is not None:  # what is held comes in one piece
            request = request.model_copy(update={"stream": None, "stream_options": None})
        job = Job(
            request,
            body_of(request),
            decided.decision,
            decided.decision_id,
            deadline,
            visit.settle,
            trail,
            decided.bill,
        )
        try:
            visit.reserve(context.input_tokens + context.output_tokens * (decided.request.n or 1))
            answer = await edition.dispatcher.run(job)
        except HttpError as error:
            visit.settle(0)
            self.meters.failed(decided, trail, error)
            _record(decided, None, error)
            raise
        except asyncio.CancelledError:
            self.meters.request(decided, trail, None, "left")
            raise
        self.meters.request(decided, trail, answer, "ok")
        _record(decided, answer, None)
        return answer


def _record(decided: Decided, answer: Answer | None, error: HttpError | None) -> None:
    """One line per request, without a word of its content."""
    signals, decision = decided.signals, decided.decision
    tried = tuple((a.lane, a.outcome, a.seconds) for a in answer.attempts) if answer else ()
    tried = error.tried if error else tried
    line = {
        "decision_id": decided.decision_id,
        "key": decided.visit.key.id,
        "key_name": decided.visit.key.name,
        "lane": answer.lane if answer else None,
        "reason": decision.reason,
        "review": decision.review.code if decision.review else None,
        "error": error.code if error else None,
        "attempts": [[lane, outcome, round(seconds, 3)] for lane, outcome, seconds in tried],
        "class": decision.permit.level.label,
        "rules_fired": sorted({f"{f.detector}:{f.rule}" for f in signals.sensitivity.findings}),
        "set_aside": sorted({f.rule for f in signals.sensitivity.set_aside}),
        "reasons": [one.code for one in decision.reasons],
        "input_tokens": signals.context.input_tokens,
        "output_tokens": decided.view.output_tokens,
        "constraints": signals.constraints.count,
        "difficulty": signals.scout.difficulty,
        "confidence": round(signals.scout.confidence, 4),
        "gain": round(signals.scout.gain, 4),
        "judge": signals.scout.source,
        "task": signals.task.task,
        "task_confidence": round(signals.task.confidence, 4),
        "tools": bool(decided.view.tool_names),
        "structured": decided.view.structured,
        "needs": sorted(decided.view.needs),
        "ceiling_usd": None if signals.budget.ceiling is None else money.usd(signals.budget.ceiling),
        "cost_usd": money.usd(decided.bill.cost),
        "policy_version": decision.policy_version[:12],
    }
    log.info("decision %s", json.dumps(line))


def overhead_ms(decided: Decided, attempts: tuple[Attempt, ...]) -> float:
    """Milliseconds since the body was in hand that no lane was responsible for."""
    return max(0.0, (time.monotonic() - decided.started - sum(a.seconds for a in attempts)) * 1000)
