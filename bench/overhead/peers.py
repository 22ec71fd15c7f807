"""How each router is started before the upstream: command, files, environment, headers.

The settings are each project's own for a plain proxy: no retries, no logging of bodies, no database.
"""

import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.overhead.install import Pin, Skipped, installed, pins
from serve.up import free_ports

OWN = ("pointsman", "pointsman-in-process", "bare-serve")


@dataclass(frozen=True, slots=True)
class Start:
    """What to run, and where it will answer. A `url` of None is printed by the command on a line of its own."""

    command: list[str]
    url: str | None
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = "mock"


Recipe = Callable[[Path, int, str, Path], Start]


def start_of(name: str, upstream: str, folder: Path, *, fetch: bool) -> tuple[str, Start]:
    """The version of a peer and its start. Raises Skipped."""
    pin = pins().get(name)
    if pin is None or name not in RECIPES:
        raise Skipped(f"unknown; known: {', '.join((*OWN, *RECIPES))}")
    place = installed(pin, fetch=fetch)
    return pin.version, RECIPES[name](place, free_ports(1)[0], upstream, folder)


def known() -> dict[str, Pin]:
    """Every peer that may take part."""
    return {name: pin for name, pin in pins().items() if name in RECIPES}


def pointsman_config(upstream: str, folder: Path) -> Path:
    """Pointsman as it is shipped, all signals on, one cloud lane: each body is read by Router and egress gate."""
    lane = {"name": "cloud", "kind": "openai", "model": "mock", "base_url": f"{upstream}/v1", "tier": 2}
    lane |= {"location": "global", "context": 200_000, "capabilities": ["tools", "json_schema"]}
    rule = {"name": "all", "when": {}, "prefer": ["cloud"], "because": "one upstream for all"}
    settings = {
        "server": {"port": free_ports(1)[0]},
        "keys": {"mode": "open"},
        "limits": {"max_parallel": None},
        "state": {"url": f"sqlite:///{folder}/state.db"},
        "lanes": [lane],
        "policy": {"rules": [rule]},
    }
    path = folder / "pointsman.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def _litellm(place: Path, port: int, upstream: str, folder: Path) -> Start:
    key = f"sk-{secrets.token_hex(16)}"
    model = {"model": "openai/mock", "api_base": f"{upstream}/v1", "api_key": "unused"}
    settings = {
        "model_list": [{"model_name": "mock", "litellm_params": model}],
        "litellm_settings": {"callbacks": [], "num_retries": 0, "request_timeout": 30, "telemetry": False},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }
    (folder / "litellm.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [f"{place}/bin/litellm", "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    environment = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Start(command, f"http://127.0.0.1:{port}/v1", environment, {"authorization": f"Bearer {key}"})


def _rust_router(program: list[str]) -> Recipe:
    def recipe(place: Path, port: int, upstream: str, folder: Path) -> Start:
        command = [f"{place}/bin/{program[0]}", *program[1:], "--host", "127.0.0.1", "--port", str(port)]
        command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_ports(1)[0])]
        command += ["--worker-urls", upstream, "--policy", "round_robin", "--log-level", "error"]
        return Start(command, f"http://127.0.0.1:{port}/v1")

    return recipe


SWITCHYARD = """schema_version = 1
[llm_clients.local]
format = "openai_chat"
base_url = "{upstream}/v1"
api_key_env = "SWKEY"
[targets.mock]
id = "mock"
llm_client = "local"
[routes.mock]
id = "mock"
type = "passthrough"
target = "mock"
"""


def _switchyard(place: Path, port: int, upstream: str, folder: Path) -> Start:
    path = folder / "switchyard.toml"
    path.write_text(SWITCHYARD.format(upstream=upstream), encoding="utf-8")
    program = "import sys; from switchyard_rust.server import Server; "
    program += f"server = Server({str(path)!r}, {port}); sys.stdin.read()"
    command = [f"{place}/bin/python", "-c", program]
    return Start(command, f"http://127.0.0.1:{port}/v1", {"SWKEY": "unused"})


TENSORZERO = """[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true
[models.mock]
routing = ["upstream"]
[models.mock.providers.upstream]
type = "openai"
model_name = "mock"
api_base = "{upstream}/v1/"
api_key_location = "none"
"""


def _tensorzero(place: Path, port: int, upstream: str, folder: Path) -> Start:
    # The wheel has no server program. Embedded, the gateway serves its own HTTP on a free port of 127.0.0.1 for
    # OpenAI's client, of which it only sets the address: so nothing of ours stands between it and the bench.
    path = folder / "tensorzero.toml"
    path.write_text(TENSORZERO.format(upstream=upstream), encoding="utf-8")
    program = "import sys, types, tensorzero; client = types.SimpleNamespace(); "
    program += f"tensorzero.patch_openai_client(client, config_file={str(path)!r}, async_setup=False); "
    program += "print(client.base_url.removesuffix('/v1'), flush=True); sys.stdin.read()"
    return Start([f"{place}/bin/python", "-c", program], None, model="tensorzero::model_name::mock")


LOOPBACK = """const { Server } = require('net');
const listen = Server.prototype.listen;
Server.prototype.listen = function (...args) {
  if (typeof args[0] === 'number') args[0] = { port: args[0] };
  if (args[0] && typeof args[0] === 'object') args[0].host = '127.0.0.1';
  return listen.apply(this, typeof args[1] === 'string' ? [args[0], ...args.slice(2)] : args);
};
"""


def _portkey(place: Path, port: int, upstream: str, folder: Path) -> Start:
    (folder / "loopback.cjs").write_text(LOOPBACK, encoding="utf-8")
    script = f"{place}/node_modules/@portkey-ai/gateway/build/start-server.js"
    command = ["node", "--require", str(folder / "loopback.cjs"), script, f"--port={port}", "--headless"]
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"}
    return Start(command, f"http://127.0.0.1:{port}/v1", {}, headers | {"authorization": "Bearer unused"})


RECIPES: Mapping[str, Recipe] = {
    "litellm": _litellm,
    "vllm-router": _rust_router(["vllm-router"]),
    "sglang-router": _rust_router(["python", "-m", "sglang_router.launch_router"]),
    "nemo-switchyard": _switchyard,
    "tensorzero": _tensorzero,
    "portkey": _portkey,
}


def in_process(config: Path) -> Start:
    """Everything of Pointsman but Ray: ingress, Router and CloudProxy in one process, without a hop."""
    return Start([sys.executable, "-m", "bench.ingress", str(config)], None, model="auto")


def graphs(config: Path) -> Start:
    """Pointsman on Ray Serve, and the bare graph beside it under `/bare`."""
    return Start([sys.executable, "-m", "bench.overhead.graphs", str(config)], None, model="auto")
