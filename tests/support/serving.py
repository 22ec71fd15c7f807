"""The real ingress over real HTTP, without Ray: the same router, the same lanes, one process.

Knows how to start it between two loopback upstreams. Does not know what a test wants of it.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import openai
import uvicorn
from pydantic import JsonValue

from models.scout.prescout import PreScout
from serve.audit.log import open_audit
from serve.cloud import CloudProxy
from serve.config import Config
from serve.encoder import Encoder
from serve.ingress import http_app
from serve.lanes.base import LanePort
from serve.lanes.load import LaneLoad
from serve.outcomes.tracker import open_tracking
from serve.router import Router
from serve.signals.gather import Judges
from tests.support.memory import memory_folder
from tests.support.upstream import ThreadedUpstream

KEEP_ALIVE_S = (
    90  # as long as Serve: a client that waits for the 5 s of a `Retry-After` finds its connection open
)
ALL = ["tools", "json_schema", "logprobs", "n"]


def config(local: str, cloud: str, *, models: dict[str, str] | None = None, **changes: Any) -> Config:
    """Two local lanes at `local`, a cloud lane of each protocol at `cloud`; `models` maps lane to fault."""
    faults = {"local-general": "ok", "local-tools": "ok", "cloud-openai": "ok", "cloud-anthropic": "ok"}
    faults |= models or {}
    places = {
        "local-general": ("openai", f"{local}/v1", "device", 8192, 1, ALL),
        "local-tools": ("openai", f"{local}/v1", "device", 8192, 1, ALL),
        "cloud-openai": ("openai", f"{cloud}/v1", "global", 200_000, 2, [*ALL, "vision"]),
        "cloud-anthropic": (
            "anthropic",
            cloud,
            "global",
            200_000,
            3,
            ["tools", "json_schema", "vision", "thinking"],
        ),
    }
    lanes = [
        {
            "name": name,
            "kind": kind,
            "model": faults[name],
            "base_url": url,
            "location": location,
            "context": context,
            "tier": tier,
            "capabilities": capabilities,
        }
        for name, (kind, url, location, context, tier, capabilities) in places.items()
    ]
    cloud_first = ["cloud-openai", "cloud-anthropic"]
    rules = [
        _rule("long_context", cloud_first, input_tokens_over=8192),
        _rule("many_constraints", cloud_first, constraints_over=3),
        _rule("tool_call", ["local-tools"], tools=True),
        _rule("complex", cloud_first, difficulty=["complex"], confidence_at_least=0.6),
        _rule("local_first", ["local-general", *cloud_first]),
    ]
    raw = {"lanes": lanes, "policy": {"rules": rules}, "keys": {"mode": "open"}} | changes
    return Config.model_validate(raw)


def _rule(name: str, prefer: list[str], **when: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "prefer": prefer, "because": f"the rule {name} of the tests"}


@contextmanager
def serving(settings: Config, box: dict[str, Any] | None = None) -> Iterator[str]:
    """The base URL of a router that serves `settings` for as long as the block lasts.

    `box` receives its event `loop`, its `port`, its `server`, the `folder` of its database, and the `config` with
    that database, which it serves.
    """
    with reloadable(settings, box) as (url, _router, _proxy):
        yield url


@contextmanager
def reloadable(
    settings: Config, box: dict[str, Any] | None = None
) -> Iterator[tuple[str, "Reconfigure", "Reconfigure"]]:
    """The same with two calls that hand Router and CloudProxy a new `user_config`, as Serve would."""
    started = threading.Event()
    box = {} if box is None else box
    with memory_folder() as folder:
        box["folder"] = folder
        thread = threading.Thread(target=lambda: asyncio.run(_serve(settings, started, box)), daemon=True)
        thread.start()
        assert started.wait(120), "the ingress did not start"
        try:
            yield (
                f"http://127.0.0.1:{box['port']}",
                partial(_hand_over, box, "router"),
                partial(_hand_over, box, "proxy"),
            )
        finally:
            box["server"].should_exit = True
            thread.join(120)


Reconfigure = Callable[[JsonValue], None]


def _hand_over(box: dict[str, Any], part: str, user_config: JsonValue) -> None:
    async def call() -> None:
        answer = box[part].reconfigure(user_config)
        if answer is not None:
            await answer

    asyncio.run_coroutine_threadsafe(call(), box["loop"]).result(30)


async def _serve(settings: Config, started: threading.Event, box: dict[str, Any]) -> None:
    settings = box["config"] = _own_state(settings, box["folder"])
    proxy = CloudProxy(settings)
    lanes: dict[str, LanePort] = {lane.name: proxy for lane in settings.lanes}
    lanes |= {lane.name: Encoder(lane) for lane in settings.encoders}
    audit, tracking = open_audit(settings), open_tracking(settings)
    router = Router(settings, Judges(PreScout.load(), None), lanes, LaneLoad(settings), audit, tracking)
    http = uvicorn.Config(http_app(router), port=0, log_level="warning", timeout_keep_alive=KEEP_ALIVE_S)
    server = uvicorn.Server(http)
    box |= {"server": server, "router": router, "proxy": proxy, "loop": asyncio.get_running_loop()}
    router.ledger.start()
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    box["port"] = server.servers[0].sockets[0].getsockname()[1]
    started.set()
    await task
    await proxy.close()


def _own_state(settings: Config, folder: Path) -> Config:
    """A database of its own where none is named, and patience: a test machine's disk may stall for seconds."""
    state, audit = settings.state, settings.audit
    if state.url is None:
        state = state.model_copy(update={"url": f"sqlite:///{folder / 'state.db'}"})
    if "write_timeout_s" not in audit.model_fields_set:
        audit = audit.model_copy(update={"write_timeout_s": 60.0})
    return settings.model_copy(update={"state": state, "audit": audit})


def client(url: str) -> openai.OpenAI:
    """The official client, without retries: a test wants to see the first answer."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


__all__ = ["ThreadedUpstream", "client", "config", "reloadable", "serving"]
