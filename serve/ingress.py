"""The HTTP edge: routes, limits, SSE and error bodies. No routing logic.

`http_app` needs no Ray; `RouterDeployment` puts it behind Serve's proxy.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import JsonValue
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.exceptions import HTTPException

from models.scout.prescout import PreScout
from serve import __version__, edge_body, explain, openapi, scaling, wish
from serve.attempts import Answer
from serve.audit.log import open_audit
from serve.cache import desk as cache_desk
from serve.cache import slot as cache_slot
from serve.config import SWITCHED_OFF, Config, EngineLane, HttpLane
from serve.dashboard.routes import DashboardRoutes
from serve.edge_answer import ClientGone, EventStream, unless_gone
from serve.edge_once import Once
from serve.errors import HttpError, MethodNotAllowed, NotFound
from serve.keys.door import Door
from serve.keys.limiter import Visit
from serve.lanes.handle import HandleLane
from serve.lanes.load import LaneLoad
from serve.lanes.spilled import SpilledDemand
from serve.learning.following import Following
from serve.ledger import money, purse, told
from serve.metrics.routes import MetricsRoute
from serve.outcomes.routes import OutcomeRoutes
from serve.outcomes.tracker import open_tracking
from serve.policy import LaneState
from serve.preambles import chosen as preambles
from serve.reviews.desk import ReviewDesk
from serve.reviews.journal import AuditJournal, Journal
from serve.reviews.routes import ReviewRoutes
from serve.router import Decided, Router, overhead_ms
from serve.signals.gather import Judges
from serve.signals.scout import Judgement
from serve.surfaces import broken, messages, messages_error
from serve.surfaces.base import Exchange, Surface
from serve.surfaces.chat import Chat
from serve.surfaces.completions import Completions
from serve.surfaces.messages import Messages
from serve.surfaces.responses.desk import ResponseDesk
from serve.surfaces.responses.routes import ResponseRoutes
from serve.surfaces.responses.surface import Responses, ResponsesExchange
from serve.tracing import spans
from serve.wire import openai_embeddings

log = logging.getLogger("pointsman.ingress")

# The rest of the body was not read: nothing on this connection may be taken for the next request.
UNREAD = frozenset({408, 413, 415, 431})

CHAT = Chat()
MESSAGES = Messages()
SURFACES: tuple[Surface, ...] = (CHAT, Responses(), Completions(), MESSAGES)

Handler = Callable[[Request], Awaitable[Response]]


def http_app(router: Router, journal: Journal | None = None) -> FastAPI:
    """The whole HTTP surface over one router. `journal` is told what becomes of reviews; None: log and audit are."""
    desk = ReviewDesk(router.config, journal or AuditJournal(router.audit))
    reviews = ReviewRoutes(desk, router.config.server, lambda: bool(router.config.policy.review))
    responses = ResponseDesk(router.config)
    metrics = MetricsRoute(router, desk)
    dashboard = DashboardRoutes(router, metrics)
    app = FastAPI(
        title="Pointsman",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_living(router, reviews, responses, metrics, dashboard, _following(router)),
    )
    app.router.redirect_slashes = False
    edge = _Edge(router, reviews, responses)
    for surface in SURFACES:
        app.add_api_route(surface.path, edge.answering(surface), methods=["POST"])
    app.add_api_route(messages.COUNT_PATH, _guarded(edge.count_tokens, MESSAGES), methods=["POST"])
    app.add_api_route("/v1/embeddings", _guarded(edge.embeddings), methods=["POST"])
    app.add_api_route("/v1/route", _guarded(edge.route), methods=["POST"])
    app.add_api_route("/v1/models", _guarded(edge.models), methods=["GET"])
    app.add_api_route("/healthz", _guarded(edge.healthz), methods=["GET"])
    app.add_api_route("/readyz", _guarded(edge.readyz), methods=["GET"])
    app.add_api_route("/openapi.json", _guarded(edge.openapi), methods=["GET"])
    outcomes = OutcomeRoutes(router.tracking, lambda: router.config)
    for method, path, handler in (
        *reviews.routes(),
        *ResponseRoutes(responses).routes(),
        *outcomes.routes(),
        *metrics.routes(),
        *dashboard.routes(),
    ):
        app.add_api_route(path, _guarded(handler), methods=[method])
    app.add_exception_handler(HTTPException, _no_such_route)
    config = router.config
    app.add_middleware(Once)
    routers = config.server.router_replicas
    app.add_middleware(
        Door,
        keys=config.keys,
        limits=lambda: router.config.limits,
        routers=routers,
        state_url=config.state.resolve(),
        refused=router.meters.refused,
    )
    return app


def _living(
    router: Router,
    reviews: ReviewRoutes,
    responses: ResponseDesk,
    metrics: MetricsRoute,
    dashboard: DashboardRoutes,
    tables: Following,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What runs beside the requests for as long as the application lives. Serve ends it when a replica has drained."""

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncGenerator[None, None]:
        await router.warm()
        async with (
            reviews.cleaning(app),
            responses.cleaning(),
            metrics.sharing(),
            router.sessions.open(),
            tables.following(),
        ):
            yield
            await router.shadows.close()
        await dashboard.close()
        await router.close()

    return living


def _following(router: Router) -> Following:
    config = router.config
    tables = router.tables
    return Following(config.state.resolve(), config.learning, lambda: tables.configured, tables.follow)


class _Edge:
    """The handlers."""

    def __init__(self, router: Router, reviews: ReviewRoutes, responses: ResponseDesk) -> None:
        self._router, self._reviews, self._responses = router, reviews, responses

    def answering(self, surface: Surface) -> Handler:
        """The handler of one API's requests."""

        async def answer(request: Request) -> Response:
            try:
                return await answered(request)
            except HttpError as error:
                self._router.meters.refused(error.code)
                raise

        async def answered(request: Request) -> Response:
            body = await edge_body.read(request, self._router.config.server)
            exchange = surface.read(body, self._router.config.server.bounds)
            visit, wishes = _visit(request), _wishes(request)
            if isinstance(exchange, ResponsesExchange):
                exchange, wishes = await self._responses.resumed(exchange, visit.key, wishes)
            decided = await self._router.decide(exchange.body, wishes, visit)
            if isinstance(exchange, ResponsesExchange):
                exchange = self._responses.keeping(exchange, decided)
            try:
                return await self._answer(request, exchange, decided)
            except HttpError as error:
                self._router.meters.refused(error.code)
                known = {"x-pointsman-decision-id": decided.decision_id}
                return _error(error, surface, known | _reason(decided) | _cost(decided))

        return _guarded(answer, surface)

    async def _answer(self, request: Request, exchange: Exchange, decided: Decided) -> Response:
        await self._reviews.require_room(decided)
        answer = await unless_gone(request, self._router.answer(decided))
        headers = _headers(decided, answer)
        if answer.whole is not None:
            headers |= _cost(decided)
        if (why := decided.decision.review) is not None:
            assert answer.whole is not None
            return await self._reviews.hold(decided, why, answer.lane, answer.whole, headers)
        if answer.whole is not None:
            if isinstance(exchange, ResponsesExchange):
                document: JsonValue = await exchange.kept(exchange.document(answer.whole))
            else:
                document = exchange.whole(answer.whole)
            return JSONResponse(document, headers=headers)
        assert answer.chunks is not None
        stall_s = self._router.config.server.stall_s
        events = exchange.events(answer.chunks, decided.bill)
        return EventStream(events, answer.chunks.aclose, headers, stall_s)

    async def route(self, request: Request) -> Response:
        body = await edge_body.read(request, self._router.config.server)
        return JSONResponse(
            explain.as_json(await self._router.decide(body, _wishes(request), _visit(request), trial=True))
        )

    async def embeddings(self, request: Request) -> Response:
        config = self._router.config.server
        asked = openai_embeddings.parse(await edge_body.read(request, config), config.bounds)
        decided = await self._router.decide(asked, _wishes(request), _visit(request))
        try:
            answer = await unless_gone(request, self._router.answer(decided))
        except HttpError as error:
            self._router.meters.refused(error.code)
            known = {"x-pointsman-decision-id": decided.decision_id}
            return _error(error, headers=known | _reason(decided) | _cost(decided))
        assert answer.vectors is not None
        document = await asyncio.to_thread(openai_embeddings.told, answer.vectors, asked)
        headers = _headers(decided, answer) | _cost(decided)
        return Response(document, media_type="application/json", headers=headers)

    async def count_tokens(self, request: Request) -> Response:
        config, rights = self._router.config, _visit(request).rights
        body = await edge_body.read(request, config.server)
        found = await asyncio.to_thread(messages.count, body, config, rights)
        return JSONResponse(found.model_dump())

    async def models(self, request: Request) -> Response:
        rights = _visit(request).rights
        lanes = [lane for lane in self._router.config.lanes if rights.overrides and rights.may_use(lane.name)]
        names = ["auto", *(lane.name for lane in lanes)]
        http = [lane for lane in lanes if isinstance(lane, HttpLane)]
        names += [f"cloud/{lane.model}" for lane in http] + [lane.model for lane in http if lane.embeddings]
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "pointsman"}
            for name in dict.fromkeys(names)
        ]
        return JSONResponse({"object": "list", "data": data})

    async def healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi.document())

    async def readyz(self, request: Request) -> Response:
        load, config = self._router.load, self._router.config
        lanes = {
            lane.name: {
                "state": load.state(lane).name.lower() if lane.enabled else "off",
                "note": load.note(lane) if lane.enabled else SWITCHED_OFF,
                "kind": lane.kind,
                "location": lane.location,
                **load.numbers(lane.name),
            }
            for lane in config.lanes
        }
        ready = any(lane.enabled and load.state(lane) is LaneState.READY for lane in config.lanes)
        body = {
            "status": "ready" if ready else "unavailable",
            "lanes": lanes,
            "policy_version": config.version,
            "keys": config.keys.mode,
            "reload_refused": self._router.reload_refused,
            "audit": self._router.audit.status(),
            "ledger": {"state": self._router.ledger.state, "note": self._router.ledger.fault},
            "outcomes": self._router.tracking.status(),
            "tables": self._router.tables.status(),
        }
        return JSONResponse(body, status_code=200 if ready else 503)


def _visit(request: Request) -> Visit:
    visit: Visit = request.state.visit  # the Door's: without it no route is reached
    return visit


def _wishes(request: Request) -> Mapping[str, str]:
    """The headers that steer, and those of a trace; a header that is sent twice is one with both values."""
    names = (*wish.HEADERS, *purse.HEADERS, *spans.HEADERS, cache_slot.CONTROL_HEADER)
    found = {name: request.headers.getlist(name) for name in names}
    return {name: ", ".join(values) for name, values in found.items() if values}


def _guarded(handler: Handler, surface: Surface = CHAT) -> Handler:
    """The boundary: whatever happens inside, the client gets an error in its API's shape."""

    async def guarded(request: Request) -> Response:
        try:
            edge_body.check_headers(request)
            return await handler(request)
        except HttpError as error:
            return _error(error, surface)
        except ClientGone:
            return Response(status_code=499)  # nobody reads it; access logs know the number
        except (
            Exception
        ) as error:  # with a surface's `events` the only place that may turn a bug into an answer
            return _error(broken.told(error), surface)

    return guarded


def _error(error: HttpError, surface: Surface = CHAT, headers: dict[str, str] | None = None) -> JSONResponse:
    more = {"retry-after": str(error.retry_after_s)} if error.retry_after_s else {}
    if error.status in UNREAD:
        more["connection"] = "close"
    if error.tried:
        more["x-pointsman-trail"] = ", ".join(f"{lane}={outcome}" for lane, outcome, _ in error.tried)
    return JSONResponse(
        surface.error(error), status_code=error.status, headers=(headers or {}) | more | error.headers
    )


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    surface: Surface = MESSAGES if messages_error.covers(request.url.path) else CHAT
    if error.status_code == 405:
        return _error(
            MethodNotAllowed(f"{request.method} is not allowed on this path"),
            surface,
            headers=dict(error.headers or {}),
        )
    return _error(
        NotFound(
            "No such path; see /v1/models, /v1/chat/completions, /v1/responses, /v1/completions, /v1/embeddings, "
            "/v1/messages, /v1/route, /v1/reviews, /v1/feedback, /v1/stats, /healthz, /readyz, /metrics, "
            "/dashboard, /openapi.json"
        ),
        surface,
    )


def _headers(decided: Decided, answer: Answer) -> dict[str, str]:
    preamble = preambles.of(decided.edition.config, answer.lane, decided.signals.task)
    more = {} if preamble is None else {preambles.HEADER: preamble.label}
    return more | {
        "x-pointsman-reason": answer.reason or decided.decision.reason,
        "x-pointsman-decision-id": decided.decision_id,
        "x-pointsman-lane": answer.lane,
        "x-pointsman-attempts": str(len(answer.attempts)),
        "x-pointsman-trail": ", ".join(f"{a.lane}={a.outcome}" for a in answer.attempts),
        cache_desk.HEADER: cache_desk.shown(decided, answer),
        "x-pointsman-overhead-ms": f"{overhead_ms(decided, answer.attempts):.1f}",
    }


def _reason(decided: Decided) -> dict[str, str]:
    return {"x-pointsman-reason": decided.decision.reason}


def _cost(decided: Decided) -> dict[str, str]:
    return {told.COST_HEADER: money.usd(decided.bill.cost)}


class _ScoutHandle:
    """The Scout deployment as the signal sees it."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def judge(self, text: str) -> Judgement:
        judgement: Judgement = await self._handle.judge.remote(text)
        return judgement


@serve.ingress()
class RouterIngress:
    """The ingress deployment: one router and the handles of everything it may call."""

    def __init__(
        self,
        config: Config,
        engines: dict[str, DeploymentHandle[Any]],
        scout: DeploymentHandle[Any] | None,
        cloud: DeploymentHandle[Any] | None,
    ) -> None:
        logging.getLogger("pointsman").setLevel(logging.INFO)
        scaled = {name: engine.autoscaling for name, engine in config.engines.items() if engine.autoscaling}
        lanes = {lane.name: HandleLane(_handle_of(lane, engines, cloud)) for lane in config.lanes}
        judges = Judges(PreScout.load(), _ScoutHandle(scout) if scout else None)
        self._load = LaneLoad(config)
        self._router = Router(config, judges, lanes, self._load, open_audit(config), open_tracking(config))
        self._router.ledger.start()
        windows_s = {name: bounds.look_back_period_s for name, bounds in scaled.items()}
        loop = asyncio.get_running_loop()
        self._watch = loop.create_task(_watch(config, self._load, cloud))
        self._tell = loop.create_task(_tell(self._load, SpilledDemand(windows_s, self._load.service_s)))

    def __serve_build_asgi_app__(self) -> FastAPI:
        return http_app(self._router)

    async def reconfigure(self, user_config: JsonValue) -> None:
        """Serve's hook for a changed `user_config`: the next request follows it, running ones do not notice."""
        self._router.reconfigure(user_config)


def _handle_of(
    lane: EngineLane | HttpLane,
    engines: dict[str, DeploymentHandle[Any]],
    cloud: DeploymentHandle[Any] | None,
) -> DeploymentHandle[Any]:
    handle = engines[lane.engine] if isinstance(lane, EngineLane) else cloud
    assert handle is not None
    return handle


async def _watch(config: Config, load: LaneLoad, cloud: DeploymentHandle[Any] | None) -> None:
    """Keep the load's view of lanes fresh, so that a request does not wait for a dead replica."""
    asked = cloud is None
    while True:
        try:
            await _look(config, load)
            if cloud is not None and not asked:
                load.switched_off(await asyncio.wait_for(cloud.off.remote(), 5))
                asked = True
        except Exception as error:  # a missing controller must not stop answers
            log.warning("cannot see the lanes' state: %s", type(error).__name__)
        await asyncio.sleep(1)


async def _look(config: Config, load: LaneLoad) -> None:
    status = await asyncio.to_thread(serve.status)
    deployments = {name: d for app in status.applications.values() for name, d in app.deployments.items()}
    for name in config.engines:
        if (seen := deployments.get(engine_deployment(name))) is not None:
            replicas: dict[Any, int] = dict(seen.replica_states)
            load.engine(name, replicas.get("RUNNING", 0), f"engine {name} is {seen.status.value.lower()}")


async def _tell(load: LaneLoad, demand: SpilledDemand) -> None:
    """Let the autoscaler know what spilled past the engines: it sees only what reached them."""
    me, told = serve.get_replica_context(), False
    while True:
        found = {engine_deployment(name): value for name, value in demand.count(load.spills()).items()}
        if found or told:
            raw = scaling.document(found, time.time())
            try:
                await asyncio.to_thread(scaling.write_document, me.app_name, me.replica_id.unique_id, raw)
                told = bool(found)
            except Exception as error:  # a missing store must not stop answers
                log.warning("cannot tell the autoscaler what spilled: %s", type(error).__name__)
        await asyncio.sleep(1)


def engine_deployment(engine: str) -> str:
    """The Serve name of an engine."""
    return f"Engine-{engine}"


RouterDeployment = serve.deployment(name="Router")(RouterIngress)
