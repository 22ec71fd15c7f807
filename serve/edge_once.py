"""One `Idempotency-Key`, one request at a time: its second request is refused while the first is being answered.

Knows the requests of this process. Keeps no answer: when the first has ended, the key may be used again.
"""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.errors import InFlight
from serve.keys.limiter import Visit
from serve.surfaces import messages_error

HEADER = "idempotency-key"


class Once:
    """ASGI middleware behind the Door, whose Visit says whose key it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answering: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 409 in the shape of the path's API."""
        name = self._name(scope)
        if name is None:
            await self._app(scope, receive, send)
            return
        if name in self._answering:
            error = InFlight()
            headers = {"retry-after": str(error.retry_after_s)}
            await JSONResponse(messages_error.on(str(scope["path"]), error), error.status, headers)(
                scope, receive, send
            )
            return
        self._answering.add(name)
        try:
            await self._app(scope, receive, send)
        finally:
            self._answering.remove(name)

    def _name(self, scope: Scope) -> tuple[str, str] | None:
        """Whose request it is, and which; None for one that gave itself no name."""
        visit: Visit | None = scope.get("state", {}).get("visit") if scope["type"] == "http" else None
        if visit is None or scope["method"] != "POST":
            return None
        key = Headers(scope=scope).get(HEADER)
        return (visit.key.name, key) if key else None
