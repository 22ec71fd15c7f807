"""HAProxy comes back at once when it dies: Serve 2.60 notices after three health checks and starts its keeper anew.

Those are seconds in which every connection is refused, longer than the retries of the SDKs. Runs in the keeper, on
one machine; on a cluster another node's HAProxy answers meanwhile.
"""

import asyncio
import logging
import time
from typing import Any

log = logging.getLogger("ray.serve")

LIVED_S = 1.0  # one that dies sooner is broken, and Serve's own checks shall see it
_watching: set["asyncio.Task[None]"] = set()


def keep(haproxy: Any) -> None:
    """Make Serve's module watch every HAProxy it starts. Raises AttributeError if Serve has changed."""
    api = haproxy.HAProxyApi
    start, stop = api._start_and_wait_for_haproxy, api.stop

    async def watched(self: Any, *arguments: str, **options: Any) -> Any:
        process = await start(self, *arguments, **options)
        task = asyncio.get_running_loop().create_task(_revive(self, process))
        _watching.add(task)
        task.add_done_callback(_watching.discard)
        return process

    async def stopped(self: Any) -> None:
        self.leaving = True
        await stop(self)

    api._start_and_wait_for_haproxy, api.stop, api.leaving = watched, stopped, False


async def _revive(api: Any, process: Any) -> None:
    """Start another when this one was killed: a reload's old one ends by itself, and so does one that is stopped."""
    started = time.monotonic()
    killed = await process.wait() < 0
    if not killed or api.leaving or api._proc is not process or time.monotonic() < started + LIVED_S:
        return
    log.error("HAProxy was killed: starting it again")
    try:
        api._proc = await api._start_and_wait_for_haproxy()
    except RuntimeError as error:
        log.error("HAProxy does not start: %s", error)
