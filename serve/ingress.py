"""The HTTP edge: routes, limits, SSE and error bodies. No routing logic.

`http_app` needs no Ray; `router_deployment.py` puts it behind Serve's proxy.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import JsonValue
from starlette.exceptions import HTTPException

from serve import __version__, edge_body, edge_error, explain, wish
from serve.cache import desk as cache_desk
from serve.cache import slot as cache_slot
from serve.config import SWITCHED_OFF
from serve.dashboard.routes import DashboardRoutes
from serve.decision import LaneState
from serve.edge_answer import EventStream, unless_gone
from serve.edge_error import CHAT, MESSAGES, Handler, guarded
from serve.edge_models import ModelRoutes
from serve.edge_once import Once
from serve.errors import HttpError
from serve.job import Answer
from serve.keys.door import Door
from serve.keys.limiter import Visit
from serve.learning.following import Following
from serve.ledger import money, purse, told
from serve.metrics.routes import MetricsRoute
from serve.openapi import document as openapi
from serve.outcomes.routes import OutcomeRoutes
from serve.preambles import chosen as preambles
from serve.reviews.desk import ReviewDesk
from serve.reviews.journal import AuditJournal, Journal
from serve.reviews.routes import ReviewRoutes
from serve.router import Decided, Router, overhead_ms
from serve.surfaces import messages
from serve.surfaces.base import Exchange, Surface
from serve.surfaces.completions import Completions
from serve.surfaces.responses.desk import ResponseDesk
from serve.surfaces.responses.routes import ResponseRoutes
from serve.surfaces.responses.surface import Responses, ResponsesExchange
from serve.tracing import spans
from serve.wire import openai_embeddings

SURFACES: tuple[Surface, ...] = (CHAT, Responses(), Completions(), MESSAGES)
REFUSED = "the last change of the configuration was refused: the log says why"
"""No more: whoever asks needs no key, and the reason is of the operator's file."""


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
    app.add_api_route(messages.COUNT_PATH, guarded(edge.count_tokens, MESSAGES), methods=["POST"])
    app.add_api_route("/v1/embeddings", guarded(edge.embeddings), methods=["POST"])
    app.add_api_route("/v1/route", guarded(edge.route), methods=["POST"])
    app.add_api_route("/healthz", guarded(edge.healthz), methods=["GET"])
    app.add_api_route("/readyz", guarded(edge.readyz), methods=["GET"])
    app.add_api_route("/openapi.json", guarded(edge.openapi), methods=["GET"])
    outcomes = OutcomeRoutes(router.tracking, lambda: router.config)
    for method, path, handler in (
        *ModelRoutes(lambda: router.config).routes(),
        *reviews.routes(),
        *ResponseRoutes(responses).routes(),
        *outcomes.routes(),
        *metrics.routes(),
        *dashboard.routes(),
    ):
        app.add_api_route(path, guarded(handler), methods=[method])
    app.add_exception_handler(HTTPException, edge_error.no_such_route)
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
            router.thoughts.open(),
            tables.following(),
        ):
            yield
            await router.shadows.close()
        await dashboard.close()
        await router.close()

    return living


def _following(router: Router) -> Following:
    tables = router.tables
    return Following(router.config, lambda: tables.configured, tables.follow, router.meters.learned)


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
                with spans.ends_with(decided.span):
                    exchange = await self._responses.keeping(exchange, decided)
            try:
                return await self._answer(request, exchange, decided)
            except HttpError as error:
                self._router.meters.refused(error.code)
                known = {"x-pointsman-decision-id": decided.decision_id}
                return edge_error.told(error, surface, known | _reason(decided) | _cost(decided))

        return guarded(answer, surface)

    async def _answer(self, request: Request, exchange: Exchange, decided: Decided) -> Response:
        with spans.ends_with(decided.span):
            await self._reviews.require_room(decided)
        answer = await unless_gone(request, self._router.answer(decided), _dropped)
        headers = _headers(decided, answer)
        if answer.whole is not None:
            headers |= _cost(decided)
        if (why := decided.decision.review) is not None:
            assert answer.whole is not None
            return await self._reviews.hold(decided, why, answer.lane, answer.whole, headers)
        if answer.whole is not None:
            began = time.monotonic()
            if isinstance(exchange, ResponsesExchange):
                document: JsonValue = await exchange.kept(exchange.document(answer.whole))
            else:
                document = exchange.whole(answer.whole)
            response = JSONResponse(document, headers=headers)
            self._router.meters.stage("serialise", began)
            return response
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
            answer = await unless_gone(request, self._router.answer(decided), _dropped)
        except HttpError as error:
            self._router.meters.refused(error.code)
            known = {"x-pointsman-decision-id": decided.decision_id}
            return edge_error.told(error, headers=known | _reason(decided) | _cost(decided))
        assert answer.vectors is not None
        document = await asyncio.to_thread(openai_embeddings.told, answer.vectors, asked)
        headers = _headers(decided, answer) | _cost(decided)
        return Response(document, media_type="application/json", headers=headers)

    async def count_tokens(self, request: Request) -> Response:
        config, rights = self._router.config, _visit(request).rights
        body = await edge_body.read(request, config.server)
        found = await asyncio.to_thread(messages.count, body, config, rights)
        return JSONResponse(found.model_dump())

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
        # A lane that makes embeddings alone answers no chat: it counts where there is nothing else.
        answering = [lane for lane in config.lanes if not lane.embeddings] or config.lanes
        ready = any(lane.enabled and load.state(lane) is LaneState.READY for lane in answering)
        body = {
            "status": "ready" if ready else "unavailable",
            "lanes": lanes,
            "policy_version": config.version,
            "keys": config.keys.mode,
            "reload_refused": REFUSED if self._router.reload_refused else None,
            "audit": self._router.audit.status(),
            "ledger": {"state": self._router.ledger.state, "note": self._router.ledger.fault},
            "outcomes": self._router.tracking.status(),
            "tables": self._router.tables.status(),
        }
        return JSONResponse(body, status_code=200 if ready else 503)


async def _dropped(answer: Answer) -> None:
    """Nobody gets it any more: its lane is free again, and what became of it is written down."""
    if answer.chunks is not None:
        await answer.chunks.aclose()


def _visit(request: Request) -> Visit:
    visit: Visit = request.state.visit  # the Door's: without it no route is reached
    return visit


def _wishes(request: Request) -> Mapping[str, str]:
    """The headers that steer, and those of a trace; a header that is sent twice is one with both values."""
    names = (*wish.HEADERS, *purse.HEADERS, *spans.HEADERS, cache_slot.CONTROL_HEADER)
    found = {name: request.headers.getlist(name) for name in names}
    return {name: ", ".join(values) for name, values in found.items() if values}


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
