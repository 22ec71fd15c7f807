"""`/dashboard`, a page without data, and `/v1/dashboard`, its numbers for whoever may see them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve import __version__, page, state
from serve.config import Config
from serve.dashboard.shown import Dashboard, Kept, LaneNow, TablesKept, TablesNow, Trial
from serve.errors import ConfigError, DashboardUnavailable, InvalidRequest
from serve.ledger.money import MICRO
from serve.ledger.terms import Terms
from serve.metrics import catalogue as of
from serve.metrics.routes import MetricsRoute, require_right
from serve.metrics.sheet import Sheet
from serve.router import Router

if TYPE_CHECKING:
    from serve.dashboard.store import DashboardStore

log = logging.getLogger("pointsman.dashboard")

HOURS = (1, 24, 168, 720)
LONGEST_S = 15.0
AMPLE = 0.9
"""Share of a limit from which the page says so."""


class DashboardRoutes:
    """The handlers. Opens the database when somebody looks."""

    def __init__(self, router: Router, metrics: MetricsRoute) -> None:
        self._router, self._metrics = router, metrics
        self._url = router.config.state.resolve()
        self._store: DashboardStore | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="dashboard")

    def routes(self) -> list[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
        """Method, path and handler of each route."""
        return [("GET", "/dashboard", self._page), ("GET", "/v1/dashboard", self._numbers)]

    async def close(self) -> None:
        """Wait for what is being read, and close the database."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    async def _page(self, request: Request) -> Response:
        return page.response("serve.dashboard")

    async def _numbers(self, request: Request) -> Response:
        require_right(request)
        hours, now = _hours(request), int(time.time() * 1000)
        kept, tables = await self._kept(hours, now)
        sheet = await self._metrics.everybody()
        shown = self._shown(kept, tables, sheet, hours)
        return JSONResponse(shown.model_dump(mode="json"), headers={"cache-control": "no-store"})

    async def _kept(self, hours: int, now: int) -> tuple[Kept, TablesKept | None]:
        accounts = Terms(self._router.config).team_accounts(now / 1000)
        limits = {account.id: account.limit for account in accounts}

        configured = self._router.tables.configured
        per_minute = self._router.config.outcomes.correction_usd_per_hour * MICRO / 60

        def read() -> tuple[Kept, TablesKept | None]:
            if self._store is None:
                from serve.dashboard.store import DashboardStore

                self._store = DashboardStore(state.open_database(self._url, durable=False))
            tables = None if configured is None else self._store.tables(configured)
            return self._store.kept(hours, now, limits, per_minute), tables

        try:
            async with asyncio.timeout(LONGEST_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, read)
        except (SQLAlchemyError, ConfigError, OSError) as error:  # TimeoutError is an OSError
            log.error("the dashboard cannot read the database: %s", type(error).__name__)
            raise DashboardUnavailable from None

    def _shown(self, kept: Kept, tables: TablesKept | None, sheet: Sheet, hours: int) -> Dashboard:
        config = self._router.config
        asked = sheet.total(of.REVIEWS) if any(key[0] == of.REVIEWS.name for key in sheet.gauges) else None
        return Dashboard(
            **{name: getattr(kept, name) for name in Kept.model_fields},
            hours=hours,
            version=__version__,
            policy_version=config.version,
            routers=int(sheet.total(of.ROUTERS)),
            reviews_waiting=None if asked is None else int(asked),
            scout_p50_ms=_ms(sheet.quantile(of.SIGNAL, 0.5, signal="scout")),
            scout_p95_ms=_ms(sheet.quantile(of.SIGNAL, 0.95, signal="scout")),
            scout_limit_ms=config.signals.scout_deadline_s * 1000,
            lanes=_lanes(self._router, sheet),
            tables=_tables(self._router, tables),
            warnings=_warnings(self._router, config, sheet, kept),
        )


def _lanes(router: Router, sheet: Sheet) -> list[LaneNow]:
    return [
        LaneNow(
            name=lane.name,
            location=lane.location,
            state=router.load.state(lane).name.lower() if lane.enabled else "off",
            in_flight=int(sheet.total(of.IN_FLIGHT, lane=lane.name)),
            predicted_wait_s=sheet.total(of.WAIT, lane=lane.name),
            spilled=int(sheet.total(of.SPILLS, lane=lane.name)),
        )
        for lane in router.config.lanes
    ]


def _tables(router: Router, kept: TablesKept | None) -> TablesNow | None:
    configured, status, verdict = router.tables.configured, router.tables.status(), router.tables.verdict
    if kept is None or configured is None:
        return None
    trial = Trial.model_validate(asdict(verdict)) if verdict and status["canary"] else None
    return TablesNow.model_validate(dict(kept) | status | {"configured": configured.version, "trial": trial})


def _warnings(router: Router, config: Config, sheet: Sheet, kept: Kept) -> list[str]:
    """What somebody should look at, in words."""
    told = {
        "The audit log cannot be written: nothing leaves the premises.": not sheet.total(of.AUDIT_UP),
        "The ledger cannot be written: lanes that cost money are refused.": not sheet.total(of.LEDGER_UP),
        "The numbers of other Routers cannot be read.": not sheet.total(of.MERGED),
        "The last change of the configuration was refused.": bool(sheet.total(of.RELOAD_REFUSED)),
        "No decisions are kept (outcomes.enabled is false): most of this page stays empty.": (
            not config.outcomes.enabled
        ),
        "A budget is nearly used up.": any(
            b.limit is not None and b.spent + b.reserved >= AMPLE * b.limit for b in kept.budgets
        ),
    }
    return [words for words, holds in told.items() if holds]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _hours(request: Request) -> int:
    given = request.query_params.getlist("hours") or ["24"]
    if len(given) == 1 and given[0] in {str(hours) for hours in HOURS}:
        return int(given[0])
    raise InvalidRequest(f"hours must be one of {', '.join(map(str, HOURS))}", param="hours")
