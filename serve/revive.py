"""HAProxy comes back at once when it dies: Serve 2.60 notices after three health checks and starts its keeper anew.

Those are seconds in which every connection is refused, longer than the retries of the SDKs. A fresh one that has not
heard of the application yet says 503, which clients repeat, and not 404. Runs in the keeper, on one machine; on a
cluster another node's HAProxy answers meanwhile.
"""

import asyncio
import json
import logging
import re
import time
from typing import Any

log = logging.getLogger("ray.serve")

LIVED_S = 1.0  # one that dies sooner is broken, and Serve's own checks shall see it
_NOT_FOUND = re.compile(r"http-request return status 404 .*")
_NOT_YET = {
    "message": "Pointsman is starting: try again in a moment",
    "type": "service_unavailable",
    "param": None,
    "code": "no_lane_available",
}
_watching: set["asyncio.Task[None]"] = set()


def keep(haproxy: Any) -> None:
    """Make Serve's module do all this. Raises AttributeError or RuntimeError if Serve has changed."""
    haproxy.HAPROXY_CONFIG_TEMPLATE = patient(haproxy.HAPROXY_CONFIG_TEMPLATE)
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


def patient(template: str) -> str:
    """HAProxy's configuration with a 503 in OpenAI's shape where no application is known. Raises RuntimeError."""
    body = json.dumps({"error": _NOT_YET}).replace('"', '\\"')
    answer = f'http-request return status 503 content-type application/json hdr retry-after 1 string "{body}"'
    patched, count = _NOT_FOUND.subn(lambda _: answer, template)
    if count != 1:
        raise RuntimeError(
            f"Serve's HAProxy template says 404 {count} times: serve/revive.py does not know this Ray"
        )
    return patched


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
