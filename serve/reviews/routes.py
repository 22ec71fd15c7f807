"""The review routes: hold, list, look, approve, reject, and the page.

Knows HTTP. What may be done is the desk's to say.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve import edge_body, page
from serve.config import ServerConfig
from serve.decision import Reason
from serve.errors import InvalidRequest, KeyForbids, ReviewGone, ReviewRejected, ReviewUndecided
from serve.keys.door import is_loopback
from serve.keys.rights import ANONYMOUS, Key
from serve.reviews import wire
from serve.reviews.desk import ReviewDesk
from serve.reviews.review import STATUSES, Review, Status, Verdict
from serve.router import Decided
from serve.wire.openai_answer import NOT_FOR_CLIENTS, ChatCompletion

Handler = Callable[[Request], Awaitable[Response]]

MOST_LISTED = 200
MAX_BODY_BYTES = 64 * 1024


class ReviewRoutes:
    """The handlers. `holds`: whether the policy in force may hold an answer."""

    def __init__(self, desk: ReviewDesk, server: ServerConfig, holds: Callable[[], bool]) -> None:
        self._desk, self._holds = desk, holds
        limit = min(server.max_body_bytes, MAX_BODY_BYTES)
        self._server = server.model_copy(update={"max_body_bytes": limit})

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each route."""
        return [
            ("GET", "/reviews", self._page),
            ("GET", "/v1/reviews", self._list),
            ("GET", "/v1/reviews/{id}", self._look),
            ("POST", "/v1/reviews/{id}/approve", self._approve),
            ("POST", "/v1/reviews/{id}/reject", self._reject),
        ]

    @asynccontextmanager
    async def cleaning(self, _app: FastAPI) -> AsyncGenerator[None, None]:
        """Delete what is over for as long as the application lives, then close the database."""
        task = asyncio.create_task(self._desk.keep_clean(self._holds))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._desk.close()

    async def require_room(self, decided: Decided) -> None:
        """Raises HttpError where an answer that must be held could not be."""
        if decided.decision.review is not None:
            await self._desk.require_room(decided.visit.key)

    async def hold(
        self, decided: Decided, why: Reason, lane: str, answer: ChatCompletion, headers: Mapping[str, str]
    ) -> Response:
        """Keep the answer and say where it will be. Raises HttpError: the answer must not be given then."""
        document = answer.model_dump_json(exclude_none=True, exclude=NOT_FOR_CLIENTS)
        review = await self._desk.hold(decided, why, lane, document)
        place = f"/v1/reviews/{review.id}"
        told = wire.shown(review, decided.visit.key).model_copy(update={"held": None})
        return _json(told, 202, {**headers, "location": place, "x-pointsman-review": review.id})

    async def _page(self, request: Request) -> Response:
        return page.response("serve.reviews")

    async def _list(self, request: Request) -> Response:
        key = _key(request)
        status, limit = _status(request), _limit(request)
        found = await self._desk.listed(status, limit + 1, key)
        data = [wire.shown(review, key) for review in found[:limit]]
        return _json(wire.ReviewList(data=data, has_more=len(found) > limit))

    async def _look(self, request: Request) -> Response:
        key = _key(request)
        plain = _choice(request, "as", ("review", "completion")) == "completion"
        review = await self._desk.look(request.path_params["id"], key)
        if review.status == "expired":
            raise ReviewGone("Nobody decided in time: the answer is deleted")
        if review.status == "approved" and review.answer is None:
            raise ReviewGone("The answer was approved, kept for its time and deleted", code="review_deleted")
        return _completion(review) if plain else _json(wire.shown(review, key))

    async def _approve(self, request: Request) -> Response:
        return await self._decide(request, "approved", wire.ApprovalBody)

    async def _reject(self, request: Request) -> Response:
        return await self._decide(request, "rejected", wire.RejectionBody)

    async def _decide(
        self, request: Request, verdict: Verdict, kind: type[wire.ApprovalBody | wire.RejectionBody]
    ) -> Response:
        key = _key(request)
        note = wire.note_of(await edge_body.read(request, self._server), kind)
        review = await self._desk.decide(request.path_params["id"], verdict, key, note)
        return _json(wire.shown(review, key).model_copy(update={"answer": None}))


def _key(request: Request) -> Key:
    """Who calls. In open mode a page of the web that renamed itself to this machine is nobody: it could read."""
    key: Key = request.state.visit.key
    if key.id == ANONYMOUS.id and not all(is_loopback(host) for host in request.headers.getlist("host")):
        raise KeyForbids("In open mode reviews are for callers that use a loopback address by its own name")
    return key


def _completion(review: Review) -> Response:
    if review.status == "pending":
        raise ReviewUndecided
    if review.status == "rejected" or review.answer is None:
        raise ReviewRejected("A reviewer has rejected the answer; without ?as=completion you see the note")
    headers = {"x-pointsman-decision-id": review.decision_id, "x-pointsman-lane": review.lane}
    return _json(ChatCompletion.model_validate_json(review.answer), headers=headers)


def _status(request: Request) -> Status:
    wanted = _choice(request, "status", STATUSES)
    return next(status for status in STATUSES if status == wanted)


def _choice(request: Request, name: str, known: tuple[str, ...]) -> str:
    """The value of a query parameter, the first known one where it is not given. Raises InvalidRequest."""
    given = request.query_params.getlist(name) or [known[0]]
    if len(given) != 1 or given[0] not in known:
        raise InvalidRequest(f"{name} must be one of {', '.join(known)}", param=name)
    return given[0]


def _limit(request: Request) -> int:
    given = request.query_params.getlist("limit") or ["100"]
    if len(given) == 1 and given[0].isascii() and given[0].isdecimal() and len(given[0]) < 9:
        limit = int(given[0])
        if 1 <= limit <= MOST_LISTED:
            return limit
    raise InvalidRequest(f"limit must be a number from 1 to {MOST_LISTED}", param="limit")


def _json(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    document = body.model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(document, status, {**(headers or {}), "cache-control": "no-store"})
