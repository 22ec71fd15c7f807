"""`GET /metrics`: the numbers of all Routers, for whoever may see them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from serve.errors import HttpError, KeyForbids
from serve.keys.door import is_loopback
from serve.keys.rights import ANONYMOUS, Key
from serve.metrics import gauges
from serve.metrics.catalogue import REVIEWS
from serve.metrics.cpst import CpstGauges
from serve.metrics.sharing import Sharing
from serve.metrics.sheet import Sheet, exposed, merged
from serve.reviews.desk import ReviewDesk
from serve.router import Router


class MetricsRoute:
    """The handler, and the sharing behind it."""

    def __init__(self, router: Router, reviews: ReviewDesk) -> None:
        self._router, self._reviews = router, reviews
        config = router.config
        self._sharing = Sharing(config.state.resolve(), lambda: gauges.taken(router), config.metrics.share_s)
        self._cpst = CpstGauges(lambda: router.config)

    def routes(self) -> list[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
        """Method, path and handler."""
        return [("GET", "/metrics", self._metrics)]

    @asynccontextmanager
    async def sharing(self) -> AsyncGenerator[None, None]:
        """Share for as long as the block lasts."""
        work = (self._sharing.keep_sharing(), self._cpst.keep_counting())
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            await self._cpst.close()
            await self._sharing.close()

    async def everybody(self) -> Sheet:
        """The numbers of all Routers, how many reviews wait, and what a success costs."""
        sheet = merged([await self._sharing.everybody(), self._cpst.sheet])
        try:
            waiting = await self._reviews.waiting()
        except HttpError:
            return sheet  # it has been logged; the other numbers are worth having
        return merged([sheet, Sheet(gauges={(REVIEWS.name, ()): float(waiting)})])

    async def _metrics(self, request: Request) -> Response:
        require_right(request)
        body = exposed(await self.everybody())
        return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"cache-control": "no-store"})


def require_right(request: Request) -> None:
    """Raises KeyForbids for whoever may not see numbers about everybody's requests."""
    key: Key = request.state.visit.key
    if key.id == ANONYMOUS.id and not all(is_loopback(host) for host in request.headers.getlist("host")):
        raise KeyForbids("In open mode numbers are for callers that use a loopback address by its own name")
    if not key.rights.metrics:
        raise KeyForbids("Only a key with the scope metrics or admin may see this")
