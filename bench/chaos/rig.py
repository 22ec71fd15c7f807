"""The real graph under test: `pointsman up` with two Routers, Scout, CloudProxy, and three lanes that can break.

Knows where every part runs and how to hurt it. Does not know when.
"""

import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import httpx2
import yaml

from bench import processes
from bench.chaos.keys import KeyFile
from bench.chaos.lanes import Lane
from bench.child import Child, StartFailed
from models import store
from models.errors import ModelMissing

ANSWER_MS = 250
DEADLINE_S = 5.0
LANE_TAKES = 16
MOST_PARALLEL = 4096  # of the suite's own key: it is the lanes that shall be full
PATIENCE = ("first_token_s", "unary_s", "idle_s")
START_S = 240.0
# What the command line of each part holds.
PARTS = {
    "Router": "ServeReplica:pointsman:Router",
    "Scout": "ServeReplica:pointsman:Scout",
    "CloudProxy": "ServeReplica:pointsman:CloudProxy",
    "controller": "ray::ServeController",
    "HAProxy": "bin/haproxy ",
    "HAProxy's keeper": "ray::HAProxyManager",
    "proxy": "ray::ProxyActor",
}


class Rig:
    """Everything the faults need, up and ready for as long as the `with` block lasts."""

    def __init__(self, proxy: str = "haproxy", scout: bool = True) -> None:
        self.proxy = proxy
        self.scout = scout and scout_installed()
        self.local, self.spare, self.cloud = Lane(), Lane(), Lane()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for lane in self.lanes:
                stack.enter_context(lane)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
            file = folder / "chaos.yaml"
            self.keys = KeyFile(folder / "keys.yaml")
            self.key = self.keys.create("chaos", overrides=True, max_parallel=MOST_PARALLEL)
            file.write_text(yaml.safe_dump(self._config()))
            self.child = stack.enter_context(Child(file, self.proxy))
            self.url = self.child.url
            self.wait_ready(START_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def lanes(self) -> tuple[Lane, Lane, Lane]:
        """The lane that is asked first, the local one after it, the cloud."""
        return self.local, self.spare, self.cloud

    def wait_ready(self, seconds: float) -> None:
        """Until every part runs and every lane is ready. Raises StartFailed."""
        try:
            wait_for(self.child, self.whole, seconds)
        except StartFailed as error:
            raise StartFailed(f"parts missing: {self.missing()}; {readyz(self.url)}; {error}") from None

    def whole(self) -> bool:
        """Every part has its processes and no lane is down."""
        lanes = readyz(self.url).get("lanes", {})
        return bool(lanes) and all(x["state"] == "ready" for x in lanes.values()) and not self.missing()

    def missing(self) -> list[str]:
        """Parts that have fewer processes than they should."""
        wanted = {"Router": 2, "CloudProxy": 2, "controller": 1}
        wanted |= {"HAProxy": 1, "HAProxy's keeper": 1} if self.proxy == "haproxy" else {"proxy": 1}
        wanted |= {"Scout": 1} if self.scout else {}
        return [part for part, count in wanted.items() if len(self.pids(part)) < count]

    def pids(self, part: str) -> list[int]:
        """The processes of one part of PARTS, oldest first."""
        alive = processes.commands(processes.tree(self.child.pid, self.child.mark))
        return sorted(pid for pid, command in alive.items() if PARTS[part] in command)

    def kill(self, part: str, count: int | None = None) -> set[int]:
        """SIGKILL all processes of a part, or `count` of them; returns whom. Raises StartFailed if none is there."""
        return self._signal(part, signal.SIGKILL, count)

    def freeze(self, part: str) -> None:
        """SIGSTOP."""
        self._signal(part, signal.SIGSTOP)

    def thaw(self, part: str) -> None:
        """SIGCONT; whoever has been replaced meanwhile needs none."""
        with suppress(StartFailed):
            self._signal(part, signal.SIGCONT)

    def fill_disk(self, full: bool) -> None:
        """Whether replicas may write a byte to any file: a write fails as on a full disk (EFBIG for ENOSPC)."""
        for part in ("Router", "CloudProxy", "Scout"):
            for pid in self.pids(part):
                _soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))

    def rss_mib(self, part: str) -> float:
        """Resident memory of all processes of a part."""
        return round(sum(p.rss_kib for p in processes.measure(self.pids(part))) / 1024, 1)

    def _signal(self, part: str, number: signal.Signals, count: int | None = None) -> set[int]:
        victims = self.pids(part)[:count]
        if not victims:
            raise StartFailed(f"no process of {part} to send {number.name} to")
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return set(victims)

    def _config(self) -> dict[str, Any]:
        cloud_first = {"prefer": ["cloud", "local-a", "local-b"]}
        complex_ = {"difficulty": ["complex"], "confidence_at_least": 0.6}
        raw: dict[str, Any] = {
            "server": {"router_replicas": 2},
            "lanes": [
                _lane("local-a", self.local, "device", 1, LANE_TAKES),
                _lane("local-b", self.spare, "device", 1, LANE_TAKES),
                _lane("cloud", self.cloud, "global", 2, 512),
            ],
            "policy": {
                "rules": [
                    {"name": "complex", "when": complex_, "because": "Hard work goes to the cloud."}
                    | cloud_first,
                    {"name": "local_first", "because": "Anything else stays on this machine."}
                    | {"prefer": ["local-a", "local-b", "cloud"]},
                ]
            },
            "keys": {"mode": "required", "file": str(self.keys.path)},
            # Shorter than the defaults, so that minutes are enough for all faults.
            "dispatch": {"deadline_s": DEADLINE_S, "cooldown_s": 2} | dict.fromkeys(PATIENCE, 2),
        }
        return raw | ({"scout": {"model": "all-minilm-l6-v2"}} if self.scout else {})


def readyz(url: str) -> dict[str, Any]:
    """What one of the Routers says of itself; empty while nobody answers."""
    try:
        body: dict[str, Any] = httpx2.get(f"{url}/readyz", trust_env=False, timeout=5).json()
    except (httpx2.HTTPError, ValueError):
        return {}
    return body


def wait_for(child: Child, true: Callable[[], bool], seconds: float) -> None:
    """Until `true()`. Raises StartFailed with the child's last words."""
    until = time.monotonic() + seconds
    while not true():
        child.require_alive()
        if time.monotonic() > until:
            raise StartFailed(f"not ready after {seconds:.0f} s; its last words:\n{child.last_words()}")
        time.sleep(0.5)


def scout_installed() -> bool:
    """Whether the encoder's weights and packages are here; without them Pointsman routes by the pre-scout alone."""
    try:
        store.path("all-minilm-l6-v2")
    except ModelMissing:
        return False
    from importlib.util import find_spec

    return find_spec("torch") is not None


def _lane(name: str, lane: Lane, location: str, tier: int, most: int) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "openai",
        "model": f"slow_first_{ANSWER_MS}",
        "base_url": f"{lane.url}/v1",
        "location": location,
        "tier": tier,
        "context": 8192,
        "max_in_flight": most,
    }
