"""The door in front of every route: who calls, and may they? Default-deny: a new route is behind it at once.

Knows keys, limits and headers. Knows no route but those that are open, and reads no body.
"""

import ipaddress
from collections.abc import Callable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import HttpError, KeyForbids, Unauthorized
from serve.keys.config import KeysConfig, LimitsConfig
from serve.keys.keyring import Keyring
from serve.keys.limiter import Limiter, Visit
from serve.keys.rights import ANONYMOUS, Key
from serve.surfaces import messages_error

# Two for probes, and pages that hold no data: what they show they ask for, with the key of their reader.
UNGUARDED = frozenset({"/healthz", "/readyz", "/reviews", "/dashboard"})
MODE_HEADER = "x-pointsman-keys"
_LONGEST = 300  # bytes of a header that is read here


class Door:
    """ASGI middleware: lets a request with a good key pass, with its Visit in `request.state.visit`.

    `refused` is told the code of each error that is answered here.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: KeysConfig,
        limits: Callable[[], LimitsConfig],
        routers: int,
        state_url: str | None = None,
        refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        self._app, self._refused = app, refused
        self._keyring = None if keys.mode == "open" else Keyring(keys, limits, state_url)
        self._limiter = Limiter(routers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401, 403, 429 or 503 in the shape of the path's API."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http" or _path(scope) in UNGUARDED:
            await self._app(scope, receive, send)
        else:
            await self._guard(scope, receive, send)

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key = await self._who(scope)
        except HttpError as error:
            self._refused(error.code)
            await _refuse(error, scope, receive, self._announced(send))
            return
        visit = self._limiter.visit(key)
        send = self._announced(send, visit)
        try:
            visit.enter()
        except HttpError as error:
            self._refused(error.code)
            await _refuse(error, scope, receive, send)
            return
        try:
            # A state of its own: a server may hand the same one to every request.
            scope["state"] = {**scope.get("state", {}), "visit": visit}
            await self._app(scope, receive, send)
        finally:
            visit.leave()

    async def _who(self, scope: Scope) -> Key:
        if self._keyring is not None:
            return await self._keyring.find(presented(scope))
        # A page on the web can make its own name point at this machine (DNS rebinding). What it posts then carries
        # that name, and an Origin, which no program sends that is not a browser.
        rebound = not all(is_loopback(host) for host in _values(scope, b"host"))
        if rebound and _values(scope, b"origin"):
            raise KeyForbids("In open mode a web page may only call a loopback address by its own name")
        return ANONYMOUS

    def _announced(self, send: Send, visit: Visit | None = None) -> Send:
        async def announced(message: Message) -> None:
            if message["type"] == "http.response.start":
                more: Mapping[str, str] = visit.headers() if visit else {}
                headers = MutableHeaders(scope=message)
                headers.update(more if self._keyring else {**more, MODE_HEADER: "open"})
            await send(message)

        return announced


def presented(scope: Scope) -> str:
    """The one key in `Authorization: Bearer` or `x-api-key`. Raises Unauthorized for none, and for two."""
    found = {_bearer(value) for value in _values(scope, b"authorization")}
    found |= set(_values(scope, b"x-api-key"))
    once = all(len(_values(scope, name)) <= 1 for name in (b"authorization", b"x-api-key"))
    if len(found) != 1 or not once:
        raise Unauthorized
    return found.pop()


def _bearer(value: str) -> str:
    scheme, _, key = value.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized
    return key.strip()


def _values(scope: Scope, name: bytes) -> list[str]:
    values = [value for key, value in scope["headers"] if key.lower() == name]
    if any(len(value) > _LONGEST for value in values):
        raise Unauthorized
    try:
        return [value.decode("ascii").strip() for value in values]
    except UnicodeDecodeError:
        raise Unauthorized from None


def _path(scope: Scope) -> str:
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def is_loopback(host: str) -> bool:
    """Whether the value of a Host header names this machine by an address or name of its own."""
    name = host.rpartition(":")[0] if host.count(":") == 1 or "]:" in host else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


async def _refuse(error: HttpError, scope: Scope, receive: Receive, send: Send) -> None:
    wait = {"retry-after": str(error.retry_after_s)} if error.retry_after_s else {}
    response = JSONResponse(
        messages_error.on(_path(scope), error), status_code=error.status, headers=error.headers | wait
    )
    await response(scope, receive, send)
