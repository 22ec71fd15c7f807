"""`POST /v1/feedback` and `GET /v1/stats`.

Knows HTTP. What is kept and counted is the store's and the report's to say.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve import edge_body
from serve.config import Config
from serve.errors import FeedbackSettled, InvalidRequest, KeyForbids, OutcomesUnavailable, UnknownDecision
from serve.keys.door import is_loopback
from serve.keys.rights import ANONYMOUS, Key
from serve.outcomes import said, span
from serve.outcomes.port import Tracking
from serve.outcomes.said import FeedbackBody, FeedbackTaken, Said, Taken
from serve.outcomes.tracker import Tracker
from serve.outcomes.writer import OutcomesDown

Handler = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")

MAX_BODY_BYTES = 16 * 1024
LONGEST_S = 15.0
ELSEWHERE_S = 0.5
"""Another Router may have answered, and writes its rows a moment later."""
_DECISION_ID = re.compile(r"dec_[0-9a-f]{32}")


class OutcomeRoutes:
    """The handlers."""

    def __init__(self, tracking: Tracking, config: Callable[[], Config]) -> None:
        self._tracking, self._config = tracking, config
        self._reading = asyncio.Lock()

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each route."""
        return [("POST", "/v1/feedback", self._feedback), ("GET", "/v1/stats", self._stats)]

    async def _feedback(self, request: Request) -> Response:
        key = _key(request)
        server = self._config().server
        limits = server.model_copy(update={"max_body_bytes": min(server.max_body_bytes, MAX_BODY_BYTES)})
        body = said.read(await edge_body.read(request, limits))
        tracker = self._tracker()
        if not _DECISION_ID.fullmatch(body.decision_id):
            raise UnknownDecision
        taken = await _done(tracker.writer.ask(lambda store: store.say(_said(body, key))))
        if taken is Taken.UNKNOWN:
            await asyncio.sleep(ELSEWHERE_S)
            taken = await _done(tracker.writer.ask(lambda store: store.say(_said(body, key))))
        if taken is Taken.UNKNOWN:
            raise UnknownDecision
        if taken is Taken.SETTLED:
            raise FeedbackSettled
        told = FeedbackTaken(
            decision_id=body.decision_id, success=body.success, replaced=taken is Taken.REPLACED
        )
        return JSONResponse(told.model_dump(mode="json"), headers={"cache-control": "no-store"})

    async def _stats(self, request: Request) -> Response:
        from sqlalchemy.exc import SQLAlchemyError  # slow to import

        from serve.outcomes import report

        key = _key(request)
        if not (key.rights.reviewer or key.rights.admin):
            raise KeyForbids("Only a key with the scope reviewer or admin may see the statistics")
        given = request.query_params.getlist("since") or [span.DEFAULT]
        try:
            since_s = span.seconds(given[0]) if len(given) == 1 else None
        except ValueError:
            since_s = None
        if since_s is None:
            raise InvalidRequest(f"since must be {span.WORDS}", param="since")
        engine = await _done(self._tracker().writer.ask(lambda store: store.engine))
        async with self._reading:  # one at a time: it may read a million rows
            try:
                found = await asyncio.to_thread(report.read, engine, self._config(), since_s, time.time())
            except SQLAlchemyError as error:
                raise OutcomesUnavailable(type(error).__name__) from None
        return JSONResponse(report.document(found), headers={"cache-control": "no-store"})

    def _tracker(self) -> Tracker:
        if not isinstance(self._tracking, Tracker):
            raise OutcomesUnavailable("outcomes.enabled is false")
        return self._tracking


async def _done(work: "Future[T]") -> T:
    """Raises OutcomesUnavailable."""
    try:
        async with asyncio.timeout(LONGEST_S):
            return await asyncio.wrap_future(work)
    except OutcomesDown as error:
        raise OutcomesUnavailable(str(error)) from None
    except TimeoutError:
        raise OutcomesUnavailable(f"the database did not answer within {LONGEST_S:g} s") from None


def _said(body: FeedbackBody, key: Key) -> Said:
    return Said(
        decision_id=body.decision_id,
        at=int(time.time() * 1000),
        success=body.success,
        quality=body.quality,
        label=body.label,
        source=body.source,
        correction_minutes=body.correction_minutes,
        key=key.name,
        reviewer=key.id != ANONYMOUS.id and (key.rights.reviewer or key.rights.admin),
    )


def _key(request: Request) -> Key:
    """Who calls. In open mode a page of the web that renamed itself to this machine is nobody: it could read."""
    key: Key = request.state.visit.key
    if key.id == ANONYMOUS.id and not all(is_loopback(host) for host in request.headers.getlist("host")):
        raise KeyForbids("In open mode outcomes are for callers that use a loopback address by its own name")
    return key
