"""The boundary of every route: whatever happens inside, the client gets an error in its API's shape."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serve import edge_body
from serve.edge_answer import ClientGone
from serve.errors import HttpError, MethodNotAllowed, NotFound
from serve.surfaces import broken, messages_error
from serve.surfaces.base import Surface
from serve.surfaces.chat import Chat
from serve.surfaces.messages import Messages

# The rest of the body was not read: nothing on this connection may be taken for the next request.
UNREAD = frozenset({408, 413, 415, 431})

CHAT = Chat()
MESSAGES = Messages()

Handler = Callable[[Request], Awaitable[Response]]


def guarded(handler: Handler, surface: Surface = CHAT) -> Handler:
    """The handler inside the boundary of its API."""

    async def inside(request: Request) -> Response:
        try:
            edge_body.check_headers(request)
            return await handler(request)
        except HttpError as error:
            return told(error, surface)
        except ClientGone:
            return Response(status_code=499)  # nobody reads it; access logs know the number
        except (
            Exception
        ) as error:  # with a surface's `events` the only place that may turn a bug into an answer
            return told(broken.told(error), surface)

    return inside


def told(error: HttpError, surface: Surface = CHAT, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer of an API to a request that failed."""
    more = {"retry-after": str(error.retry_after_s)} if error.retry_after_s else {}
    if error.status in UNREAD:
        more["connection"] = "close"
    if error.tried:
        more["x-pointsman-trail"] = ", ".join(f"{lane}={outcome}" for lane, outcome, _ in error.tried)
    return JSONResponse(
        surface.error(error), status_code=error.status, headers=(headers or {}) | more | error.headers
    )


async def no_such_route(request: Request, error: Exception) -> Response:
    """The answer where the framework knows no route, or not this method."""
    assert isinstance(error, HTTPException)
    surface: Surface = MESSAGES if messages_error.covers(request.url.path) else CHAT
    if error.status_code == 405:
        return told(
            MethodNotAllowed(f"{request.method} is not allowed on this path"),
            surface,
            headers=dict(error.headers or {}),
        )
    return told(
        NotFound(
            "No such path; see /v1/models, /v1/chat/completions, /v1/responses, /v1/completions, /v1/embeddings, "
            "/v1/messages, /v1/route, /v1/reviews, /v1/feedback, /v1/stats, /healthz, /readyz, /metrics, "
            "/dashboard, /openapi.json"
        ),
        surface,
    )
