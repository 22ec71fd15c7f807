"""Routers that a test kills: each line on standard input starts one in a process of its own and prints its pid.

    python -m tests.support.audit_child LOCAL_URL CLOUD_URL STATE_FILE TRACE_FILE

Many requests run in it at once until it is killed. Just before a lane is asked, the decision's id goes to the trace
file: a write that outlives the process, but no flush.
"""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing

from models.scout.prescout import PreScout
from serve.audit.log import open_audit
from serve.cloud import CloudProxy
from serve.config import Config
from serve.errors import HttpError
from serve.keys.limiter import Visit
from serve.lanes.base import LaneCall, Piece
from serve.lanes.load import LaneLoad
from serve.router import Router
from serve.signals.gather import Judges
from tests.support.serving import config

AT_ONCE = 8


class Traced(CloudProxy):
    """The real CloudProxy; the trace knows first."""

    def __init__(self, settings: Config, trace: int) -> None:
        super().__init__(settings)
        self._trace = trace

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        os.write(self._trace, f"{call.decision_id} {call.lane}\n".encode())
        async with aclosing(super().answer(call)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece


def body(number: int) -> bytes:
    asked = {
        "model": ("cloud-openai", "cloud-anthropic", "auto")[number % 3],
        "stream": number % 2 == 0,
        "messages": [{"role": "user", "content": f"hello {number}"}],
    }
    return json.dumps(asked).encode()


async def warm(settings: Config, judges: Judges) -> None:
    """What is slow the first time is done once, for all children: one call of each dialect, with no log."""
    proxy = CloudProxy(settings)
    router = Router(settings, judges, {lane.name: proxy for lane in settings.lanes}, LaneLoad(settings))
    for number in range(2):
        answer = await router.answer(await router.decide(body(number), {}, Visit.anonymous()))
        if answer.chunks is not None:
            await answer.chunks.aclose()
    await proxy.close()
    await asyncio.to_thread(router.ledger.close)


async def serve(settings: Config, judges: Judges, proxy: CloudProxy) -> None:
    lanes = {lane.name: proxy for lane in settings.lanes}
    router = Router(settings, judges, lanes, LaneLoad(settings), open_audit(settings))

    async def ask(number: int) -> None:
        while True:
            try:
                answer = await router.answer(await router.decide(body(number), {}, Visit.anonymous()))
            except (
                HttpError
            ):  # a database that another one still mends refuses the cloud: that is no answer, and no leak
                await asyncio.sleep(0.05)
                continue
            if answer.chunks is not None:
                async for _ in answer.chunks:
                    pass
            number += 1

    await asyncio.gather(*(ask(number) for number in range(AT_ONCE)))


def main() -> None:
    local, cloud, state, trace = sys.argv[1:]
    settings = config(local, cloud, state={"url": f"sqlite:///{state}"}, audit={"write_timeout_s": 60})
    file = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    judges, proxy = Judges(PreScout.load(), None), Traced(settings, file)
    asyncio.run(warm(settings, judges))
    # A thread that writes while its process forks leaves the child its locks: nobody would ever give them back.
    assert threading.active_count() == 1, threading.enumerate()
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(serve(settings, judges, proxy))
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main()
