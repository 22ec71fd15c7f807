"""Dispatch over real Serve handles while replicas are busy or killed: `python -m tests.support.replicas`.

Prints one JSON object. A process of its own, because Ray reads its settings when it is imported.
"""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

SLOTS = 4
QUEUE = 2


def environment() -> None:
    """What `pointsman up` sets, with a loop of its own for handles: the caller is no replica."""
    from serve.up import environment

    os.environ.update(environment(proxy="haproxy") | {"RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1"})


class Stub:
    """An engine that takes as long as the request's first message says, in seconds, or tells its pid."""

    async def answer(self, call: Any) -> AsyncIterator[list[str]]:
        yield []
        await asyncio.sleep(float(json.loads(call.body)["messages"][0]["content"]))
        message = {"role": "assistant", "content": str(os.getpid())}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        yield [json.dumps({"id": "1", "created": 1, "model": "m", "choices": [choice]})]

    async def check_health(self) -> None:
        """Serve finds out about a death by the actor, not by this."""


class Away(Stub):
    """The lane that is always there."""

    async def answer(self, call: Any) -> AsyncIterator[list[str]]:
        yield []
        choice = {"index": 0, "message": {"role": "assistant", "content": "away"}, "finish_reason": "stop"}
        yield [json.dumps({"id": "1", "created": 1, "model": "m", "choices": [choice]})]


@dataclass(slots=True)
class Asked:
    """How one request ended."""

    text: str
    trail: str
    seconds: float


class Bench:
    """A dispatcher over one stub engine with two replicas and one lane in this process."""

    def __init__(self, handle: Any) -> None:
        from serve.config import Config
        from serve.dispatch import Dispatcher
        from serve.lanes.handle import HandleLane
        from serve.lanes.load import LaneLoad

        cloud = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9", "location": "device"}
        config = Config.model_validate(
            {
                "engines": {"small": {"model": "m", "max_ongoing_requests": 64, "max_queued_requests": 64}},
                "lanes": [
                    {"name": "engine", "kind": "engine", "engine": "small", "context": 9},
                    cloud | {"name": "away", "context": 9},
                ],
                "policy": {"rules": [{"name": "default", "prefer": ["engine"], "because": "only rule"}]},
                "dispatch": {"queue_wait_unary_s": 0.5, "last_wait_s": 90},
            }
        )
        self.load = LaneLoad(config)
        # Serve's limits are smaller than the ones counted here: the refusals below are Serve's own.
        self.load.engine("small", 2, "healthy")
        lanes: dict[str, Any] = {"engine": HandleLane(handle), "away": Away()}
        self._dispatcher = Dispatcher(lanes, self.load, config)

    async def ask(self, seconds: float, *chain: str) -> Asked:
        """Ask along `chain` for an answer that takes `seconds`."""
        from serve.decision import Decision, Reason
        from serve.dispatch import Job, body_of
        from serve.egress import Permit
        from serve.errors import HttpError
        from serve.signals.readings import Sensitivity
        from serve.wire.openai_chat import parse

        raw = {"model": "auto", "messages": [{"role": "user", "content": str(seconds)}]}
        request = parse(json.dumps(raw).encode())
        permit = Permit(Sensitivity.PUBLIC, frozenset({"device"}))
        decision = Decision(chain, permit, (Reason("r", "because"),), (), "v")
        started = time.monotonic()
        late = asyncio.get_running_loop().time() + 120
        try:
            answer = await self._dispatcher.run(Job(request, body_of(request), decision, "dec_1", late))
        except HttpError as error:
            return Asked(f"{error.status} {error.code}", error.message, time.monotonic() - started)
        assert answer.whole is not None
        trail = ",".join(f"{a.lane}={a.outcome}" for a in answer.attempts)
        return Asked(str(answer.whole.choices[0].message.content), trail, time.monotonic() - started)


async def play(bench: Bench) -> dict[str, Any]:
    """Busy, then one replica killed under load, then all of them."""
    both = ("engine", "away")
    found: dict[str, Any] = {}
    # No replica is known to the handle before the first call.
    pids: set[int] = set()
    while len(pids) < 2:
        pids |= {int((await bench.ask(0.05, "engine")).text) for _ in range(6)}
    busy = [asyncio.create_task(bench.ask(8, "engine")) for _ in range(2 * SLOTS)]
    await asyncio.sleep(1)
    found["full"] = [one.trail for one in await asyncio.gather(*(bench.ask(0, *both) for _ in range(8)))]
    found["busy"] = [one.trail for one in await asyncio.gather(*busy)]
    found["after"] = (await bench.ask(0, *both)).trail
    loaded = [asyncio.create_task(bench.ask(4, *both)) for _ in range(2 * SLOTS)]
    await asyncio.sleep(0.5)
    os.kill(sorted(pids)[0], signal.SIGKILL)
    died = await asyncio.gather(*loaded)
    found["one_died"] = [one.trail for one in died]
    found["one_died_s"] = max(one.seconds for one in died)
    seen = {one.text for one in await asyncio.gather(*(bench.ask(0.2, "engine") for _ in range(6)))}
    for pid in {int(text) for text in seen if text.isdigit()}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    none = await asyncio.gather(*(bench.ask(0, *both) for _ in range(20)))
    found["all_died"] = [one.trail for one in none]
    found["all_died_s"] = max(one.seconds for one in none)
    waited = await bench.ask(0, "engine")
    found["waited"] = [waited.text, waited.trail, waited.seconds]
    return found


def main() -> None:
    environment()
    import ray
    from ray import serve

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    serve.start(proxy_location="Disabled")
    deployment = serve.deployment(
        name="Stub",
        num_replicas=2,
        max_ongoing_requests=SLOTS,
        max_queued_requests=QUEUE,
        health_check_period_s=2,
        ray_actor_options={"num_cpus": 0.1},
    )(Stub)
    try:
        handle = serve.run(deployment.bind(), name="stubs", route_prefix=None)
        print(json.dumps(asyncio.run(play(Bench(handle)))), flush=True)
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


if __name__ == "__main__":
    main()
