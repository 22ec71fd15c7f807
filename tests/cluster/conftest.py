"""One real Pointsman for the whole suite: default configuration, real model, real HAProxy, loopback clouds."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest
import yaml

from models import store
from models.errors import ModelMissing
from serve.up import free_ports
from tests.support.upstream import ThreadedUpstream

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Graph:
    """The running graph as a user has it: `pointsman up`, and one loopback cloud per protocol."""

    pid: int
    url: str
    ask: openai.OpenAI
    openai_cloud: ThreadedUpstream
    anthropic_cloud: ThreadedUpstream

    def lanes(self) -> dict[str, str]:
        """State of every lane, as /readyz says."""
        body = httpx2.get(f"{self.url}/readyz", trust_env=False, timeout=10).json()
        return {name: lane["state"] for name, lane in body["lanes"].items()}

    def note(self, lane: str) -> str:
        """Why a lane is not ready: "engine ..." when Serve has no replica of its engine."""
        body = httpx2.get(f"{self.url}/readyz", trust_env=False, timeout=10).json()
        return str(body["lanes"][lane]["note"])

    def argument(self, name: str) -> str:
        """The value of a flag that Ray gave one of its processes."""
        for title in titles(self.pid).values():
            for word in title.split():
                if word.startswith(f"{name}="):
                    return word.partition("=")[2]
        raise LookupError(name)

    def kill_engine(self) -> None:
        """SIGKILL the engine's replica; the router has noticed when this returns."""
        for pid, title in titles(self.pid).items():
            if "ServeReplica:pointsman:Engine-small" in title:
                os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: self.note("local-general").startswith("engine"), 30, "the router to see the engine down"
        )


def titles(pid: int) -> dict[int, str]:
    """The command lines of everything that this process started, and its own. What ends meanwhile is left out."""
    found = {}
    me = psutil.Process(pid)
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            found[process.pid] = " ".join(process.cmdline())
    return found


def wait_for(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until `true()` holds; fails the test with `what` otherwise."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            pytest.fail(f"waited {seconds} s in vain for {what}")
        time.sleep(0.2)


@pytest.fixture(scope="package")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """The default configuration, up. Skipped, saying so, where the model or the engine is not installed."""
    pytest.importorskip("vllm", reason="the CPU engine is not installed: make test installs it")
    try:
        store.path("qwen2.5-coder-0.5b-instruct")
    except ModelMissing as missing:
        pytest.skip(str(missing))
    with ThreadedUpstream() as one, ThreadedUpstream() as other:
        clouds = {
            "OPENAI_BASE_URL": f"{one.url}/v1",
            "OPENAI_API_KEY": "sk-loopback-openai",
            "ANTHROPIC_BASE_URL": other.url,
            "ANTHROPIC_API_KEY": "sk-loopback-anthropic",
        }
        config = patient("cpu.yaml", tmp_path_factory.mktemp("graph"))
        with up(config, clouds) as (pid, url), client_of(url) as client:
            yield Graph(pid, url, client, one, other)


def patient(name: str, folder: Path, **changes: Any) -> str:
    """A copy of a shipped configuration, under which nothing goes elsewhere because a busy machine was slow."""
    config = ROOT / "configs" / name
    raw = yaml.safe_load(config.read_text()) | changes
    raw["dispatch"] = raw.get("dispatch", {}) | {"queue_wait_s": 60, "queue_wait_unary_s": 60}
    for section, field in ((raw, "prices"), (raw["policy"], "table")):
        if field in section:
            section[field] = str(config.parent / section[field])
    copy = folder / name
    copy.write_text(yaml.safe_dump(raw))
    return str(copy)


def client_of(url: str) -> openai.OpenAI:
    """The official client, without retries: a test wants to see the first answer."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=180)


@contextmanager
def up(config: str, environment: dict[str, str], *options: str) -> Iterator[tuple[int, str]]:
    """`pointsman up` in a process of its own, ready: its pid and URL. Ray reads its settings at import."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "serve.cli", "up", "--config", config, "--port", str(port), *options]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: process.poll() is not None or _ready(url), 600, "`pointsman up`")
            assert process.poll() is None
            yield process.pid, url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
            log.seek(0)
            print(log.read().decode()[-4000:])


def _ready(url: str) -> bool:
    try:
        answer = httpx2.get(f"{url}/readyz", trust_env=False, timeout=5)
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200 and all(
        lane["state"] != "down" for lane in answer.json()["lanes"].values()
    )
