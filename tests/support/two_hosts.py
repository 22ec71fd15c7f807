"""A Router's host without a route out and an egress host with one: `python -m tests.support.two_hosts FOLDER`.

Runs in `hosts.command`. The product's Router (with an engine without a model) and its CloudProxy are a process each, in
their own hosts; a pipe of this file stands for Ray's handle. The Router has a bug: it sends whatever a lane gets
straight to the outside as well. Prints one JSON object: what was answered, what the bug came to, what left the host.
"""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from functools import partial
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import httpx2
import yaml

from serve.cloud import CloudProxy
from serve.config import Config, load
from serve.lane_errors import LaneError
from serve.lanes.base import LaneCall, LanePort, Piece
from tests.support import hosts, upstream
from tests.support.hosts import Host, Sniffer
from tests.support.leaky import PLACE, leak
from tests.support.upstream import ThreadedUpstream

ROUTER, EGRESS, WORLD = Host("router"), Host("egress"), Host("")
INSIDE, GATE, GATE_OUT, OUTSIDE = "10.77.1.2", "10.77.1.1", "198.51.100.2", "198.51.100.1"
URL, PIPE, KEY = "http://127.0.0.1:8000", (GATE, 7000), b"made up"
SECRET = "DE89370400440532013000"
LEAKS = "leaks"
PATIENCE_S = 240


def main(folder: Path) -> None:
    """Build it, ask, then give the bug a route after all, and print what was seen each time."""
    hosts.prepare()
    cables()
    vars(upstream)["HOST"] = OUTSIDE  # the provider stands in the outside world, not on loopback
    with ThreadedUpstream() as cloud, Sniffer(ROUTER) as wire, processes(folder, cloud.port):
        answers = ROUTER.run(ask)
        tried = Counter((folder / LEAKS).read_text().splitlines())
        found = {
            "answers": answers,
            "tried": tried,
            "peers": sorted({connection.peer for connection in cloud.connections}),
            "leaked": SECRET.encode() in cloud.received_bytes,
            "sent": ROUTER.sent(),  # before what was seen: nothing that is counted here may be missing there
            "left": plain(wire.settled()),
        }
        ROUTER.ip("route", "add", "default", "via", GATE)  # whoever keeps the network makes a mistake
        ROUTER.run(lambda: leak(SECRET.encode(), folder / LEAKS, f"{OUTSIDE}:{cloud.port}"))
        after = plain(wire.settled())
        leaked = SECRET.encode() in cloud.received_bytes
    print(json.dumps(found | {"with_route": after, "leaked_with_route": leaked, "dropped": wire.dropped}))


def cables() -> None:
    """router - egress - world; the Router's host has an uplink too, plugged in, with no address on it."""
    ROUTER.make()
    EGRESS.make()
    hosts.link(ROUTER, "inside", EGRESS, "gate")
    hosts.link(EGRESS, "out", WORLD, "world")
    hosts.link(ROUTER, "uplink", WORLD, "spare")
    ROUTER.ip("addr", "add", f"{INSIDE}/30", "dev", "inside")
    EGRESS.ip("addr", "add", f"{GATE}/30", "dev", "gate")
    EGRESS.ip("addr", "add", f"{GATE_OUT}/24", "dev", "out")
    WORLD.ip("addr", "add", f"{OUTSIDE}/24", "dev", "world")
    EGRESS.ip("route", "add", "default", "via", OUTSIDE)


@contextmanager
def processes(folder: Path, provider: int) -> Iterator[None]:
    """CloudProxy in its host, then the Router in its own, ready for requests."""
    (folder / "own.yaml").write_text(yaml.safe_dump(configuration(folder, provider)))
    environment = {"PROVIDER_KEY": "sk-made-up", PLACE: f"{OUTSIDE}:{provider}"}
    with ExitStack() as stack:
        for host, ready in ((EGRESS, _listens), (ROUTER, _answers)):
            words = [sys.executable, "-m", "tests.support.two_hosts", str(folder), host.name]
            process = host.start(words, environment, folder / f"{host.name}.log")
            stack.callback(process.wait)
            stack.callback(process.kill)
            wait(partial(ROUTER.run, ready), process, folder / f"{host.name}.log")
        yield


def configuration(folder: Path, provider: int) -> dict[str, Any]:
    """An engine in the Router's host, and two lanes of the provider outside."""
    away = {"location": "global", "context": 200_000, "price": {"input": 1, "output": 1}, "model": "ok"}
    away |= {"api_key": {"env": "PROVIDER_KEY"}}
    lanes = [
        {"name": "local", "kind": "engine", "engine": "small", "context": 8192},
        away | {"name": "openai", "kind": "openai", "base_url": f"http://{OUTSIDE}:{provider}/v1"},
        away | {"name": "anthropic", "kind": "anthropic", "base_url": f"http://{OUTSIDE}:{provider}"},
    ]
    rule = {"name": "local_first", "prefer": ["local", "openai"], "because": "The only rule of this test."}
    return {
        "keys": {"mode": "open"},
        "state": {"url": f"sqlite:///{folder / 'state.db'}"},
        "audit": {"write_timeout_s": 60},
        "signals": {
            "deadline_s": 120
        },  # patience: on a busy machine nothing may go elsewhere because it was slow
        "dispatch": {"queue_wait_s": 60, "queue_wait_unary_s": 60, "last_wait_s": 60, "down_wait_s": 60},
        "engines": {"small": {"model": "stub", "vllm": {"word_s": 0.001}}},
        "lanes": lanes,
        "policy": {"rules": [rule]},
    }


def ask(key: str = "any") -> list[dict[str, Any]]:
    """Every class, whole and streamed, to whom it may go; a secret that asks for the cloud too."""
    texts = {"public": "What is 2+2?", "internal": "Plan the week", "confidential": f"Pay {SECRET} today"}
    found = []
    for level, text in texts.items():
        for model in ("auto", "openai", "anthropic"):
            for stream in (False, True):
                body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
                headers = {"x-pointsman-sensitivity": level, "authorization": f"Bearer {key}"}
                answer = httpx2.post(
                    f"{URL}/v1/chat/completions", json=body, headers=headers, timeout=120, trust_env=False
                )
                lane = answer.headers.get("x-pointsman-lane")
                found.append({"level": level, "model": model, "status": answer.status_code, "lane": lane})
    return found


# --- the Router's host -------------------------------------------------------------------------------------------


async def route(folder: Path) -> None:
    """The product's HTTP edge over lanes that leak."""
    import uvicorn

    from models.scout.prescout import PreScout
    from serve.audit.log import open_audit
    from serve.ingress import http_app
    from serve.lanes.load import LaneLoad
    from serve.outcomes.tracker import open_tracking
    from serve.router import Router
    from serve.signals.gather import Judges
    from tests.support.stub_engine import StubEngine

    config = load(folder / "own.yaml")
    engine = StubEngine(config.engines["small"])
    ports: dict[str, LanePort] = {lane.name: Remote() for lane in config.lanes} | {"local": engine}
    lanes = {name: Leaky(port, folder / LEAKS) for name, port in ports.items()}
    judges, seen = Judges(PreScout.load(), None), LaneLoad(config)
    router = Router(config, judges, lanes, seen, open_audit(config), open_tracking(config))
    router.ledger.start()
    await uvicorn.Server(uvicorn.Config(http_app(router), host="127.0.0.1", port=8000)).serve()


class Leaky:
    """The bug: what a lane is given goes straight to the outside first, past CloudProxy and its gate."""

    def __init__(self, lane: LanePort, log: Path) -> None:
        self._lane, self._log = lane, log

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        await asyncio.to_thread(leak, call.body, self._log, os.environ[PLACE])
        async for piece in self._lane.answer(call):
            yield piece


class Remote:
    """CloudProxy in the other host, as a lane."""

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        pipe = await asyncio.to_thread(Client, PIPE, authkey=KEY)
        with pipe:
            pipe.send(call)
            while (got := await asyncio.to_thread(pipe.recv)) is not None:
                if isinstance(got, Exception):
                    raise got
                yield got


# --- the egress host ---------------------------------------------------------------------------------------------


async def forward(config: Config) -> None:
    """The product's CloudProxy behind a listener."""
    proxy, loop = CloudProxy(config), asyncio.get_running_loop()
    with Listener(PIPE, authkey=KEY) as listener:
        while True:
            pipe = await asyncio.to_thread(_accepted, listener)
            if pipe is not None:
                threading.Thread(target=_serve, args=(pipe, proxy, loop), daemon=True).start()


def _accepted(listener: Listener) -> Connection | None:
    try:
        return listener.accept()
    except (OSError, EOFError):  # somebody only looked whether anybody listens
        return None


def _serve(pipe: Connection, proxy: CloudProxy, loop: asyncio.AbstractEventLoop) -> None:
    with pipe:
        call = pipe.recv()
        asyncio.run_coroutine_threadsafe(_answered(pipe, proxy, call), loop).result()


async def _answered(pipe: Connection, proxy: CloudProxy, call: LaneCall) -> None:
    pieces = proxy.answer(call)
    assert isinstance(pieces, AsyncGenerator)
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                pipe.send(piece)
            pipe.send(None)
        except LaneError as error:
            pipe.send(error)


# --- waiting -----------------------------------------------------------------------------------------------------


def _listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(PIPE) == 0


def _answers() -> bool:
    try:
        return httpx2.get(f"{URL}/healthz", timeout=5, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def wait(true: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until `true()` holds. Raises RuntimeError with the end of `log` when the process ends or takes too long."""
    until = time.monotonic() + PATIENCE_S
    while not true():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{log.stem} did not come up: {log.read_text()[-3000:]}")
        time.sleep(0.2)


def plain(seen: Counter[tuple[str, str]]) -> dict[str, int]:
    """As JSON has it: "interface destination" and the number of frames."""
    return {f"{interface} {destination}": count for (interface, destination), count in seen.items()}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    place = Path(sys.argv[1])
    if sys.argv[2:] == [ROUTER.name]:
        asyncio.run(route(place))
    elif sys.argv[2:] == [EGRESS.name]:
        asyncio.run(forward(load(place / "own.yaml")))
    else:
        main(place)
