"""`/v1/responses/{id}` and what is below it: a kept response, for the key that asked for it.

Knows HTTP. What is kept is the desk's to say.
"""

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.errors import InvalidRequest, KeyForbids, UnknownResponse
from serve.keys.door import is_loopback
from serve.keys.rights import ANONYMOUS, Key
from serve.surfaces.responses import items
from serve.surfaces.responses.desk import ResponseDesk
from serve.surfaces.responses.store import KeptResponse

Handler = Callable[[Request], Awaitable[Response]]


class Deleted(BaseModel):
    """A response that is gone."""

    id: str
    object: str = "response"
    deleted: bool = True


class ResponseRoutes:
    """The handlers."""

    def __init__(self, desk: ResponseDesk) -> None:
        self._desk = desk

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each route."""
        one = "/v1/responses/{id}"
        return [
            ("GET", one, self._look),
            ("DELETE", one, self._delete),
            ("GET", f"{one}/input_items", self._input_items),
            ("POST", f"{one}/cancel", self._cancel),
        ]

    async def _look(self, request: Request) -> Response:
        if request.query_params.get("stream", "false").lower() not in ("false", "0", ""):
            raise InvalidRequest("stream: a kept response comes in one piece", param="stream")
        found = await self._found(request)
        return JSONResponse(found.document, headers={"cache-control": "no-store"})

    async def _input_items(self, request: Request) -> Response:
        page = items.Page.of(request.query_params)
        found = await self._found(request)
        listed = await asyncio.to_thread(items.listed, found, page)
        return JSONResponse(listed.model_dump(mode="json"), headers={"cache-control": "no-store"})

    async def _cancel(self, request: Request) -> Response:
        await self._found(request)
        raise InvalidRequest(
            "Only a response that runs in the background can be cancelled, and none does here: close the connection "
            "to end one that is being answered",
            code="response_not_in_background",
        )

    async def _found(self, request: Request) -> KeptResponse:
        found = await self._desk.find(request.path_params["id"], _key(request))
        if found is None:
            raise _unknown()
        return found

    async def _delete(self, request: Request) -> Response:
        response_id = request.path_params["id"]
        if not await self._desk.remove(response_id, _key(request)):
            raise _unknown()
        return JSONResponse(Deleted(id=response_id).model_dump())


def _unknown() -> UnknownResponse:
    return UnknownResponse("There is no such response, or it is not this key's, or it was not kept")


def _key(request: Request) -> Key:
    """Who calls. In open mode a page of the web that renamed itself to this machine is nobody: it could read."""
    key: Key = request.state.visit.key
    if key.id == ANONYMOUS.id and not all(is_loopback(host) for host in request.headers.getlist("host")):
        raise KeyForbids("In open mode responses are for callers that use a loopback address by its own name")
    return key
