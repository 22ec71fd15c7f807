"""The straight line of one request: wish, view, signals, decision, dispatch.

Knows the order of the stages and what to log. Knows neither HTTP nor Ray.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from serve import policy, schemas, wish
from serve.audit.entry import Entry, refusal
from serve.audit.port import Audit, NoAudit
from serve.cache import desk as cache_desk
from serve.cache import slot as cache_slot
from serve.cache.desk import CacheDesk
from serve.cache.slot import NOWHERE, Slot
from serve.checks import Checks
from serve.config import ConfidenceConfig, Config
from serve.decision import Decision
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
from serve.preambles import chosen as preambles
from serve.preambles.config import Preamble
from serve.reload import Reload
from serve.request import RequestView, view_of
from serve.sessions import name as names
from serve.sessions.desk import SessionDesk
from serve.signals.gather import Judges, gather
from serve.signals.readings import Signals
from serve.sweeps.call import Caller
from serve.sweeps.desk import Shadows
from serve.thoughts.desk import Own, ThoughtDesk
from serve.tracing import spans
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
    checks: Checks | None = None
    scout_s: float | None = None  # how long the Scout was waited for, None where it was not asked
    slot: Slot = NOWHERE
    span: spans.RequestSpan = spans.NOTHING
    thoughts: Own = field(default_factory=dict)


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
        self.cache = CacheDesk()
        self.sessions = SessionDesk(config.state.resolve())
        self.thoughts = ThoughtDesk(config.state.resolve())
        self.meters = Meters(config)
        caller = Caller(lanes, load, self.audit, self.ledger, self.meters.spent)
        self.shadows = Shadows(caller, self.tracking, self.meters.shadow)

    @property
    def config(self) -> Config:
        """What decides the next request."""
        return self._edition.config

    @property
    def reload_refused(self) -> bool:
        """The last change of the configuration was refused; the log says why."""
        return self._reload.fault is not None

    def reconfigure(self, user_config: JsonValue) -> None:
        """Decide by the changed configuration from the next request on. One that is wrong changes nothing."""
        config = self._reload.take(user_config)
        if config.version != self.config.version:
            self._edition = Edition(config, Dispatcher(self._lanes, self.load, config), Terms(config))
            self._tables.reconfigure(config)
            self.meters.follow(config)
            self.cache.clear()

    async def warm(self) -> None:
        """Build the tables of the signals, so that the first request does not wait for them."""
        asked = ChatRequest.model_validate(
            {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        )
        await gather(view_of(asked), replace(self._judges, scout=None), self.config.signals, lambda _: False)

    async def close(self) -> None:
        """Write down what is settled and told but not yet on the disk. For the end of the process."""
        parts = (self.ledger.close, self.audit.close, self.tracking.close)
        await asyncio.gather(*(asyncio.to_thread(part) for part in parts))

    @property
    def tables(self) -> TablesInForce:
        """The routing tables that decide."""
        return self._tables

    async def decide(
        self, body: bytes | ChatRequest, headers: Mapping[str, str], visit: Visit, *, trial: bool = False
    ) -> Decided:
        """The decision for one body, or what was read from it, without running it. Raises HttpError.

        The audit log is told when the policy refuses it, but not of a `trial`, whose answer nobody waits for.
        """
        span = spans.NOTHING if trial else spans.begin(headers)
        with span.inside(), spans.ends_with(span):
            decided = await self._decide(body, headers, visit, trial=trial)
        return replace(decided, span=span)

    async def _decide(
        self, body: bytes | ChatRequest, headers: Mapping[str, str], visit: Visit, *, trial: bool
    ) -> Decided:
        started, decision_id = time.monotonic(), f"dec_{uuid.uuid4().hex}"
        edition = self._drawn(visit, headers, decision_id)
        config = edition.config
        parsed = parse(body, config.server.bounds) if isinstance(body, bytes) else body
        request, wanted = wish.read(parsed, headers, config, visit.rights)
        schemas.check(request)
        request, thoughts = await self.thoughts.known(request, visit.key.name, config)
        lap = self.meters.stage("parse", started)
        view = view_of(request)
        lap = self.meters.stage("view", lap)
        states = self.load.states(interactive=bool(request.stream))
        purse = Purse(self.ledger, edition.terms, visit.key, headers)
        session = await self.sessions.find(config.sessions, purse.payer, request)

        def seen(signals: Signals) -> Signals:
            kept = replace(signals, sensitivity=signals.sensitivity.without(wanted.exempt), session=session)
            return purse.seen(kept, request, view)

        def matters(signals: Signals) -> bool:
            return policy.scout_matters(seen(signals), view, wanted, states, config)

        took: dict[str, float] = {}

        def timed(name: str, seconds: float, failed: bool) -> None:
            took[name] = seconds
            self.meters.signal(name, seconds, failed)

        with spans.stage("gather") as stage:
            signals = seen(await gather(view, self._judges, config.signals, matters, timed))
            stage.note(**{f"{name}_ms": seconds * 1000 for name, seconds in took.items()})
        lap = self.meters.stage("signals", lap)
        try:
            with spans.stage("policy"):
                decision = policy.decide(signals, view, wanted, states, config)
            self.meters.stage("policy", lap)
        except HttpError as error:
            if not trial:
                level = max(signals.sensitivity.level, wanted.at_least)
                self.audit.submit(refusal(decision_id, visit.key.id, level, signals, config.version, error))
            raise
        bill = purse.bill(decision_id, signals, request, view)
        bill.watch, bill.timed = self.meters.spent, self.meters.stage
        return Decided(
            decision_id,
            request,
            view,
            signals,
            decision,
            started,
            visit,
            edition,
            bill,
            wanted.checks,
            took.get("scout"),
            cache_slot.of(parsed, headers, visit.key, config),
            thoughts=thoughts,
        )

    def _drawn(self, visit: Visit, headers: Mapping[str, str], decision_id: str) -> Edition:
        """The edition in force with the routing table that was drawn for this session, or decision."""
        session = headers.get(SESSION_HEADER)
        unit = decision_id if session is None else f"{visit.key.name}\0{session}"
        drawn = self._tables.draw(unit)
        return self._edition if drawn is None else replace(self._edition, config=drawn[1], drawn=drawn[0])

    async def answer(self, decided: Decided) -> Answer:
        """Run the decision. Raises HttpError when no permitted lane gave a usable answer."""
        if (cached := self.cache.find(decided)) is not None:
            decided = cache_desk.asks_nobody(decided)
        entry = Entry(self.audit, decided, self._ended)
        with decided.span.inside(), entry.watched():
            began = time.monotonic()
            decided = replace(decided, decision=await entry.begin())
            self.meters.stage("audit", began)
            if cached is not None:
                self._answered(decided, cached, entry.trail)
                return entry.follow(cached)
            answer = await self.thoughts.keep(decided, await self._run(decided, entry))
            answer = await self.sessions.keep(decided, answer)
            answer = entry.follow(self.cache.keep(decided, answer, entry.trail))
        return self.shadows.follow(decided, answer)

    def _ended(self, ended: Ended) -> None:
        self.tracking.ended(ended)
        self.meters.ended(ended)
        decided, usage = ended.decided, ended.trail.usage
        decided.span.end(
            decision_id=decided.decision_id,
            status=ended.status,
            lane=ended.lane,
            reason=ended.decision.reason,
            data_class=ended.decision.permit.level.label,
            task=decided.signals.task.task,
            stream=bool(decided.request.stream),
            attempts=len(ended.tried),
            input_tokens=usage.prompt_tokens if usage else None,
            output_tokens=usage.given if usage else None,
            cost_microusd=decided.bill.cost,
        )

    async def _run(self, decided: Decided, entry: Entry) -> Answer:
        edition, trail = decided.edition, entry.trail
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
            entry.intent,
            decided.checks,
            confidence=_measured(decided),
            doubts=edition.config.dispatch.doubt_calls and len(decided.decision.chain) > 1,
            preambles=_preambles(decided),
            home=_home(decided),
            timed=self.meters.stage,
            thoughts=decided.thoughts,
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
        self._answered(decided, answer, trail)
        return answer

    def _answered(self, decided: Decided, answer: Answer, trail: Trail) -> None:
        self.meters.request(decided, trail, answer, "ok")
        _record(decided, answer, None)


def _measured(decided: Decided) -> ConfidenceConfig | None:
    """How sure an answer to this task must be, None where nobody asks."""
    task = decided.signals.task.task
    if task not in ("classification", "extraction"):
        return None
    return decided.edition.config.dispatch.confidence.get(task)


def _preambles(decided: Decided) -> Mapping[str, Preamble]:
    """Of the lanes that have one for this request."""
    config, task = decided.edition.config, decided.signals.task
    found = ((name, preambles.of(config, name, task)) for name in decided.decision.chain)
    return {name: one for name, one in found if one is not None}


def _home(decided: Decided) -> str:
    """Empty where no engine asks for it."""
    engines = decided.edition.config.engines.values()
    if all(engine.replica_choice == "least_busy" for engine in engines):
        return ""
    return names.home(decided.bill.payer, decided.request)


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
        "session": signals.session.lane if signals.session else None,
        "task_confidence": round(signals.task.confidence, 4),
        "tools": bool(decided.view.tool_names),
        "structured": decided.view.structured,
        "needs": sorted(decided.view.needs),
        "ceiling_usd": None if signals.budget.ceiling is None else money.usd(signals.budget.ceiling),
        "cost_usd": money.usd(decided.bill.cost),
        "policy_version": decision.policy_version[:12],
    }
    # Serve's JSON lines have the id as a field of its own, too.
    log.info("decision %s", json.dumps(line), extra={"decision_id": decided.decision_id})


def overhead_ms(decided: Decided, attempts: tuple[Attempt, ...]) -> float:
    """Milliseconds since the body was in hand that no lane was responsible for."""
    return max(0.0, (time.monotonic() - decided.started - sum(a.seconds for a in attempts)) * 1000)
