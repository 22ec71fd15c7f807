"""Start a local Ray with one Pointsman in it, show what runs where, stay until Ctrl-C.

For one machine. On a cluster KubeRay or `serve deploy` does this job.
"""

import importlib.util
import logging
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from models import lock, store
from models.errors import ModelError, ModelMissing
from serve import haproxy
from serve.config import SWITCHED_OFF, Config, EncoderLane, EngineLane, HttpLane
from serve.errors import ConfigError
from serve.loopback import HOOK, LOOPBACK
from serve.tracing import exporter
from serve.watch import EVERY_S, Watch

if TYPE_CHECKING:  # Serve reads the environment at import, and `running` sets it first
    from ray.serve import Deployment

Engines = Callable[[], "Deployment"]

FAST = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # one machine: Ray's own ports listen on loopback only
    "RAY_worker_niceness": "0",  # at Ray's 15 every process that starts outranks the Router that serves
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "900",  # at least the longest stream (ray#66056)
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "2s",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # after 5 s Serve kills it, and a busy machine never starts
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",  # at 0.1 an idle controller takes 45 CPU-ms a second, so 25
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(64 << 20),
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",  # one proxy, on this machine: Ctrl-C need not take 35 s
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",  # else a thousand lines wait in memory, and die with it
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "PYTHONWARNINGS": "ignore",
}
APP = "pointsman"
UNHEALTHY_S = 60  # a replica that died or was too slow at the start is replaced by Serve
ROOT = str(Path(__file__).resolve().parents[1])


def environment(*, proxy: str) -> dict[str, str]:
    """Variables Serve reads at import, in the driver and in every process of the cluster."""
    fast = FAST | {"RAY_SERVE_HAPROXY_BINARY_PATH": haproxy.path()}
    return ALWAYS | (fast if proxy == "haproxy" else {})


def overridden(config: Config, port: int | None, log_format: str | None) -> Config:
    """`config` with what the command line says of its server; None: what the file says."""
    given = {"port": port, "log_format": log_format}
    server = config.server.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    return config.model_copy(update={"server": server})


@contextmanager
def running(
    config: Config, console: Console, *, proxy: str = "haproxy", engine: Engines | None = None
) -> Iterator[str]:
    """Run `config` on this machine for as long as the block lasts; yields the base URL.

    `engine` gives what answers in place of vLLM; it is called when Serve may be imported.
    Raises ConfigError when the port is taken or an engine lacks its packages or weights, RuntimeError when the
    graph does not come up.
    """
    _require_free(config)
    if engine is None:
        _require_engines(config)
    _require_encoders(config)
    traced = exporter.environment(config.tracing)
    for key, value in (environment(proxy=proxy) | _free_ports(config.server.port) | traced).items():
        os.environ.setdefault(key, value)
    # Workers must find the very `serve` and `models` that run here, however this process found them.
    os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    import ray  # after the environment is set: Serve reads it at import
    from ray import serve

    try:
        with console.status("Starting Ray"):
            _start_ray(config)
        _deploy(config, console, engine)
        yield f"http://{config.server.host}:{config.server.port}"
    finally:
        with console.status("Stopping"):
            if ray.is_initialized():  # else Serve would start another Ray, only to stop it
                serve.shutdown()  # type: ignore[no-untyped-call]
            ray.shutdown()


def wait_for_signal(watch: Watch, *, look: bool) -> None:
    """Block until Ctrl-C or SIGTERM. Follows the configuration file: on SIGHUP, and by itself if `look`."""
    stop, asked = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, _hang_up(stop, asked))
    while not stop.wait(EVERY_S):
        if now := asked.is_set():
            asked.clear()
        if now or look:
            watch.look(now)


def _hang_up(stop: threading.Event, asked: threading.Event) -> Callable[..., None]:
    """SIGHUP asks to read the file, unless it says that the terminal this was started from is gone."""
    attached = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN  # nohup ignores it

    def heard(*_: object) -> None:
        (stop if attached and not _has_terminal() else asked).set()

    return heard


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def apply(config: Config) -> None:
    """Hand the hot part of `config` to the replicas that run: none restarts. Raises RuntimeError."""
    try:
        deploy(config)
    except Exception as error:  # whatever Serve has against it: what runs goes on
        raise RuntimeError(f"Serve did not take it: {type(error).__name__}: {error}") from error


def deploy(config: Config, engine: Engines | None = None) -> None:
    """Hand the whole graph to Serve, which replaces what differs and drains what goes. Does not wait for it."""
    from ray import serve

    from serve.app import graph
    from serve.engine import EngineDeployment

    target = serve.RunTarget(target=graph(config, engine=engine() if engine else EngineDeployment), name=APP)
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)


def _start_ray(config: Config) -> None:
    import ray
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        ray.init(
            num_cpus=max(os.cpu_count() or 1, _cpus(config)),
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=True,
            logging_level=logging.ERROR,
            object_store_memory=256 << 20,
            _node_ip_address=LOOPBACK,
            runtime_env={"worker_process_setup_hook": HOOK},
        )
    except Exception as error:  # Ray has no narrower one for a node that is not up after its 30 s
        raise RuntimeError(
            f"Ray did not start: {error} Is this machine overloaded, or out of memory?"
        ) from error
    signal.signal(signal.SIGTERM, _leave)  # after ray.init, which sets a handler that aborts
    serve.start(
        http_options={"host": config.server.host, "port": config.server.port, "request_timeout_s": None}
    )


def _cpus(config: Config) -> int:
    """Logical CPUs that the graph asks for: on one machine nothing may wait for a place."""
    engines = sum(
        e.num_cpus * (e.autoscaling.max_replicas if e.autoscaling else 1) for e in config.engines.values()
    )
    scout = config.scout.num_cpus * config.scout.most_replicas if config.scout else 0
    return int(engines + scout + sum(lane.num_cpus * lane.replicas for lane in config.encoders)) + 2


def _free_ports(taken: int) -> dict[str, str]:
    """Ports that Serve would otherwise fix, so that two Pointsmans can run on one machine. Not `taken`."""
    names = (
        "HAPROXY_METRICS_PORT",
        "HAPROXY_STATS_PORT",
        "FALLBACK_PROXY_HTTP_PORT",
        "FALLBACK_PROXY_GRPC_PORT",
    )
    ports = [port for port in free_ports(len(names) + 1) if port != taken]
    return {f"RAY_SERVE_{name}": str(port) for name, port in zip(names, ports, strict=False)}


def free_ports(count: int) -> list[int]:
    """Ports that are free now, below the range from which the system gives Ray its own: those collide."""
    found: list[int] = []
    for port in random.sample(range(20_000, 30_000), 200):
        with socket.socket() as probe:
            if len(found) < count and probe.connect_ex((LOOPBACK, port)) != 0:
                found.append(port)
    return found


def _leave(*_: object) -> None:
    """SIGTERM while starting: unwind, so that everything that was started is stopped."""
    raise SystemExit(128 + signal.SIGTERM)


def _require_engines(config: Config) -> None:
    """What an engine would otherwise find out only after minutes, three times over."""
    if config.engines and importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "engines: vLLM is not installed here: `make setup CONFIG=...` installs what a file needs"
        )
    for name, engine in config.engines.items():
        if engine.model in lock.shipped().names:
            try:
                store.path(engine.model)
            except ModelMissing as missing:
                raise ConfigError(f"engines.{name}.model: {missing}") from None


def _require_encoders(config: Config) -> None:
    """An encoder that cannot load refuses every call, and says why only in its log."""
    for lane in config.encoders:
        if importlib.util.find_spec("transformers") is None:
            raise ConfigError(
                f"lanes.{lane.name}: torch and transformers are not installed here: profile core has none"
            )
        if lane.path is not None and not lane.path.is_dir():
            raise ConfigError(f"lanes.{lane.name}.path: there is no folder {lane.path}")
        try:
            lane.path or store.path(lane.model)
        except ModelError as error:
            raise ConfigError(f"lanes.{lane.name}.model: {error}") from None


def _require_free(config: Config) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.server.host, config.server.port))
        except OSError as error:
            raise ConfigError(
                f"{config.server.host}:{config.server.port} cannot be used ({error.strerror}): "
                "stop what listens there, or choose another server.port"
            ) from None


def _deploy(config: Config, console: Console, engine: Engines | None) -> None:
    from ray import serve

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    deploy(config, engine)
    with Progress(*columns, TextColumn("{task.fields[state]}"), console=console) as progress:
        rows: dict[str, TaskID] = {}
        failing_since: float | None = None
        while True:
            app = serve.status().applications.get(APP)
            if app is not None:
                _show(progress, rows, {name: d.status.value for name, d in app.deployments.items()})
                if app.status.value == "RUNNING":
                    return
                failing_since = (
                    (failing_since or time.monotonic()) if app.status.value == "UNHEALTHY" else None
                )
                too_long = failing_since is not None and time.monotonic() - failing_since > UNHEALTHY_S
                if too_long or app.status.value == "DEPLOY_FAILED":
                    faults = [f"{name}: {d.message}" for name, d in app.deployments.items() if d.message]
                    raise RuntimeError("\n".join(["The graph did not come up.", app.message, *faults]))
            time.sleep(0.5)


def _show(progress: Progress, rows: dict[str, TaskID], states: dict[str, str]) -> None:
    for name, state in states.items():
        if name not in rows:
            rows[name] = progress.add_task(name, total=None, state="")
        done = state == "HEALTHY"
        progress.update(
            rows[name], state="ready" if done else "starting", total=1 if done else None, completed=done
        )
        if done:
            progress.stop_task(rows[name])


def describe(config: Config, url: str, console: Console) -> None:
    """Print what is running where, and a line to try."""
    table = Table(
        *(Column(name, overflow="fold") for name in ("lane", "answers with", "where", "state")), box=None
    )
    for lane in config.lanes:
        if isinstance(lane, EngineLane):
            what, off = f"vLLM: {Path(config.engines[lane.engine].model).name}", None
        elif isinstance(lane, EncoderLane):
            what, off = f"encoder: {lane.model}", None
        else:
            what, off = f"{lane.kind}: {lane.model}", lane.off_because
        off = off if lane.enabled else SWITCHED_OFF
        table.add_row(lane.name, what, lane.location, f"[yellow]off ({off})" if off else "[green]on")
    console.rule(f"Pointsman is up: {url}/v1")
    console.print(table)
    if not any(
        lane.location in ("eu", "global") and lane.enabled and not lane.off_because
        for lane in _remote(config)
    ):
        console.print("\nNo cloud lane is on: Pointsman is sovereign and answers with local models only.")
    is_open = config.keys.mode == "open"
    if is_open:
        console.print(
            "\n[bold red]OPEN: no key is asked for.[/] Every process on this machine may call and spend."
        )
        console.print("To ask for keys set `keys.mode: required` (docs/keys.md).")
    else:
        console.print("\nKeys are required: `pointsman keys create --name NAME` makes one.")
    console.print("\nTry it (the address is an OpenAI base URL):\n")
    # Not through rich: a line that is wrapped cannot be pasted.
    print(_curl(url, "" if is_open else ' -H "authorization: Bearer $POINTSMAN_API_KEY"'), flush=True)
    console.print("\nCtrl-C stops it.")


def _remote(config: Config) -> list[HttpLane]:
    return [lane for lane in config.lanes if isinstance(lane, HttpLane)]


def _curl(url: str, key: str) -> str:
    body = '{"model": "auto", "messages": [{"role": "user", "content": "What is the capital of France?"}]}'
    return f"curl -si {url}/v1/chat/completions -H 'content-type: application/json'{key} -d '{body}'"
