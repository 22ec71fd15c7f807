"""The one fault that needs a real model: the vLLM replica dies, and cannot start again while its weights are gone.

Its own Pointsman: the default engine, and a loopback cloud behind it.
"""

import asyncio
import os
import tempfile
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import yaml

from bench import processes
from bench.chaos import figures
from bench.chaos.figures import Row
from bench.chaos.lanes import Lane
from bench.chaos.rig import readyz, wait_for
from bench.chaos.traffic import Load, Traffic, client
from bench.child import Child, StartFailed
from bench.machine import ROOT
from models import store
from models.errors import ModelMissing

NAME = "engine-killed"
DOES = "SIGKILL vLLM's replica, take its weights away for a while, give them back"
LOAD = Load("Say {serial} back to me.", workers=3, most=8)
START_S, GONE_S, AFTER_S = 300.0, 10.0, 3.0
REPLICA = "ServeReplica:pointsman:Engine-small"


def missing() -> str:
    """Why this fault cannot be played here; empty when it can."""
    if find_spec("vllm") is None:
        return "vLLM is not installed"
    try:
        _weights()
    except ModelMissing as error:
        return str(error)
    return ""


async def play(proxy: str) -> Row:
    """Start it, break it, mend it, stop it. Raises StartFailed."""
    with _EngineRig(proxy) as rig:
        async with client(rig.child.url) as sdk:
            traffic = Traffic(sdk, LOAD)
            acting = asyncio.create_task(asyncio.to_thread(_break, rig, traffic))
            await traffic.run(lambda: not acting.done())
            struck, back_s, seen = await acting
    row = figures.row(NAME, traffic.outcomes, [struck], LOAD.workers)
    row.back_s, row.seen = back_s, seen
    # A stream that had begun ends with what spoke it, and says so: at most one of each worker.
    cut = min(row.codes.get("upstream_interrupted", 0), LOAD.workers)
    row.broken = [f"{row.lost} lost, {row.errors} errors"] if row.lost or row.errors > cut else []
    if back_s is None:
        row.broken.append("the engine did not come back")
    if not seen["named by /readyz"]:
        row.broken.append("/readyz did not name the engine that cannot start")
    return row


class _EngineRig:
    """`pointsman up` with the engine of configs/cpu.yaml on weights that can be taken away."""

    def __init__(self, proxy: str) -> None:
        self.cloud, self._proxy = Lane(), proxy

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
            stack.enter_context(self.cloud)
            self._link, file = folder / "weights", folder / "chaos.yaml"
            self.give()
            file.write_text(yaml.safe_dump(self._config()))
            self.child = stack.enter_context(Child(file, self._proxy))
            wait_for(self.child, lambda: self.state()[0] == "ready", START_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def state(self) -> tuple[str, str]:
        """State and note of the engine's lane."""
        lane = readyz(self.child.url).get("lanes", {}).get("local-general", {})
        return lane.get("state", ""), lane.get("note", "")

    def give(self) -> None:
        """The weights are where the configuration says."""
        self._link.symlink_to(_weights())

    def take(self) -> None:
        """They are not."""
        self._link.unlink()

    def kill(self) -> None:
        """SIGKILL the replica; its EngineCore ends with it."""
        alive = processes.commands(processes.tree(self.child.pid, self.child.mark))
        for pid in (pid for pid, command in alive.items() if REPLICA in command):
            os.kill(pid, 9)

    def _config(self) -> dict[str, Any]:
        raw: dict[str, Any] = yaml.safe_load((ROOT / "configs/cpu.yaml").read_text())
        raw["prices"] = {}  # the file of them stands beside the original
        raw["engines"]["small"]["model"] = str(self._link)
        del raw["scout"]
        for lane in raw["lanes"]:
            if lane["name"].startswith("cloud"):
                lane["base_url"] = self.cloud.url + ("/v1" if lane["kind"] == "openai" else "")
                lane |= {"api_key": None, "model": "ok"}
        return raw


def _break(rig: _EngineRig, traffic: Traffic) -> tuple[float, float | None, dict[str, Any]]:
    """When it was struck, seconds until the engine answered again, what was seen. In a thread: it waits."""
    wait_for(rig.child, lambda: len(traffic.outcomes) >= 3 * LOAD.workers, START_S)
    rig.take()
    struck = time.monotonic()
    rig.kill()
    wait_for(rig.child, lambda: rig.state()[0] != "ready", START_S)
    time.sleep(GONE_S)
    seen = {"named by /readyz": "small" in rig.state()[1], "weights gone for s": GONE_S}
    rig.give()
    back = None
    with suppress(StartFailed):
        wait_for(rig.child, lambda: rig.state()[0] == "ready", START_S)
        back = round(time.monotonic() - struck, 1)
    time.sleep(AFTER_S)
    return struck, back, seen


def _weights() -> Path:
    return store.path("qwen2.5-coder-0.5b-instruct")
