"""A Ray cluster of two hosts, one without a route out: `python -m tests.support.two_nodes FOLDER`.

Runs in `hosts.command`. The head node, with Router and engine, is in the Router's host; the node that has the resource
`egress`, and so CloudProxy, in the egress host. What is deployed is what `pointsman render` gives KubeRay, by Serve's
own `serve run`, with k8s/base/ray.env; only the engine has no model, and the Router has the bugs of
`tests.support.leaky`. Prints one JSON object: what was answered, what the bugs came to, what left the host. Exit status
75: the cluster did not come up.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml
from ray.serve import Application

from serve import haproxy
from serve.app import AppArgs, graph
from serve.config import checked, load
from serve.keys import credential, file
from serve.keys.entry import Grant, KeyEntry
from serve.render import following, serve_config
from tests.support import hosts, two_hosts, upstream
from tests.support.hosts import Host, Sniffer
from tests.support.leaky import FORGED, PLACE, TRIED, leak
from tests.support.stub_engine import StubDeployment
from tests.support.two_hosts import EGRESS, GATE, INSIDE, OUTSIDE, ROUTER, SECRET, URL, WORLD, plain
from tests.support.upstream import ThreadedUpstream

ROOT = Path(__file__).parents[2]
GCS = 6379
AGENT_PORTS = (
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
RUNS = "Ray runtime started"
HOOK = "tests.support.leaky.plant"
UPLINK = "198.51.100.3"
BIN = Path(sys.executable).parent


def main(folder: Path) -> None:
    """Build it, ask, then plug the uplink in, and print what was seen each time."""
    hosts.prepare()
    two_hosts.cables()
    vars(upstream)["HOST"] = OUTSIDE  # the provider stands in the outside world, not on loopback
    key = written(folder)
    with ThreadedUpstream() as cloud, Sniffer(ROUTER, but_to=GATE) as wire, cluster(folder, cloud.port):
        answers = ROUTER.run(lambda: two_hosts.ask(key))
        found = {
            "answers": answers,
            "tried": Counter((folder / TRIED).read_text().splitlines()),
            "forged": Counter((folder / FORGED).read_text().splitlines()),
            "nodes": nodes(folder),
            "peers": sorted({connection.peer for connection in cloud.connections}),
            "reached": len(cloud.requests),
            "leaked": SECRET.encode() in cloud.received_bytes,
            "left": plain(wire.settled()),
            "sent": ROUTER.sent(),
        }
        ROUTER.ip("addr", "add", f"{UPLINK}/24", "dev", "uplink")  # whoever keeps the network makes a mistake
        WORLD.ip("route", "add", f"{UPLINK}/32", "dev", "spare")  # answers go back by the cable they came
        ROUTER.run(lambda: leak(SECRET.encode(), folder / TRIED, f"{OUTSIDE}:{cloud.port}"))
        after = plain(wire.settled())
        leaked, sent = SECRET.encode() in cloud.received_bytes, ROUTER.sent()
    told = {"after": after, "leaked_after": leaked, "sent_after": sent, "dropped": wire.dropped}
    print(json.dumps(found | told))


def build(args: AppArgs) -> Application:
    """`serve.app.build`, on engines without a model."""
    return graph(load(args.config).declared(args.keys_file), engine=StubDeployment)


def written(folder: Path) -> str:
    """The files that the cluster reads; returns the caller's key."""
    public, key, sha256 = credential.mint()
    entry = KeyEntry(id=public, name="tester", sha256=sha256, grant=Grant(overrides=True))
    (folder / "keys.yaml").write_text("keys:\n" + file.written(entry))
    return key


@dataclass(slots=True)
class Started:
    """Processes that end with the block of `cluster`."""

    folder: Path
    environment: dict[str, str]
    stack: ExitStack
    logs: dict[Path, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def add(self, host: Host, name: str, words: list[str], **own: str) -> Path:
        """Start `words` in `host`, with a place of its own for temporary files; returns its log."""
        apart = self.folder / host.name
        apart.mkdir(exist_ok=True)
        log = self.folder / f"{name}.log"
        given = self.environment | own | {"TMPDIR": str(apart)}
        self.logs[log] = process = host.start(words, given, log)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return log

    def wait(self, true: Callable[[], bool]) -> None:
        """Until `true()` holds. Raises NotUp when a process ends first, or all take too long."""
        until = time.monotonic() + two_hosts.PATIENCE_S
        while not true():
            ended = [log for log, process in self.logs.items() if process.poll() is not None]
            if ended or time.monotonic() > until:
                raise NotUp("\n".join(f"{log.stem}: {_said(log)[-3000:]}" for log in ended or self.logs))
            time.sleep(0.2)


class NotUp(Exception):
    """The cluster did not come up; the message holds what its processes said."""


@contextmanager
def cluster(folder: Path, provider: int) -> Iterator[None]:
    """Two nodes and the graph on them, ready for requests. Raises NotUp."""
    (folder / "serve.yaml").write_text(yaml.safe_dump(deployed(folder, provider)))
    environment = shipped_environment() | {
        PLACE: f"{OUTSIDE}:{provider}",
        TRIED: str(folder / TRIED),
        FORGED: str(folder / FORGED),
    }
    with ExitStack() as stack:
        started = Started(folder, environment, stack)
        words = node(
            "--head",
            f"--port={GCS}",
            "--include-dashboard=false",
            place=folder / ROUTER.name,
            ip=INSIDE,
            has=("core", "engine"),
        )
        head = started.add(ROUTER, "head", words)
        started.wait(lambda: RUNS in _said(head))
        words = node(f"--address={INSIDE}:{GCS}", place=folder / EGRESS.name, ip=GATE, has=("egress",))
        # The provider's key is on the egress host alone, as in k8s/base/rayservice.yaml.
        other = started.add(EGRESS, "egress-node", words, PROVIDER_KEY="sk-made-up")
        started.add(ROUTER, "serve-run", run(folder))
        started.wait(lambda: RUNS in _said(other))
        started.wait(lambda: ROUTER.run(_ready))
        yield


def _said(log: Path) -> str:
    return log.read_text(errors="replace")


def node(*options: str, place: Path, ip: str, has: tuple[str, ...]) -> list[str]:
    """The command line that KubeRay would start a node with, which stays. Its files are in `place`."""
    resources = json.dumps(dict.fromkeys(has, 1))
    words = [str(BIN / "ray"), "start", *options, f"--node-ip-address={ip}", f"--resources={resources}"]
    # Fixed, as KubeRay does: a raylet waits 15 s and no longer for agents that choose theirs.
    words += [f"--{name}={52365 + i}" for i, name in enumerate(AGENT_PORTS)]
    words.append(f"--temp-dir={place}")  # or it would be the head's, by its name
    return [*words, "--num-cpus=2", f"--object-store-memory={128 << 20}", "--block"]


def run(folder: Path) -> list[str]:
    """`serve run` of the rendered file."""
    hook = json.dumps({"worker_process_setup_hook": HOOK})
    words = [str(BIN / "serve"), "run", str(folder / "serve.yaml"), f"--address={INSIDE}:{GCS}"]
    return [*words, f"--runtime-env-json={hook}"]


def shipped_environment() -> dict[str, str]:
    """k8s/base/ray.env, but for the paths of the image; nodes trust each other by a token."""
    lines = (ROOT / "k8s/base/ray.env").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line.startswith("RAY_"))
    return {name: value for name, _, value in pairs} | {
        "RAY_SERVE_HAPROXY_BINARY_PATH": haproxy.path(),
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",  # a busy machine
        "RAY_worker_register_timeout_seconds": "240",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "made-up-token-of-this-test",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def deployed(folder: Path, provider: int) -> dict[str, Any]:
    """What `pointsman render` makes of the configuration, with this test's builder and files."""
    values = two_hosts.configuration(folder, provider)
    values["engines"]["small"] |= {"num_cpus": 0.5}
    del values["keys"]
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(values))
    document: Any = serve_config(checked(values, path), following(values), str(path))
    (application,) = document["applications"]
    application["import_path"] = "tests.support.two_nodes:build"
    application["args"]["keys_file"] = str(folder / "keys.yaml")
    return dict(document)


def nodes(folder: Path) -> dict[str, list[str]]:
    """Which deployments had a replica on which host, by the logs that each node wrote."""
    found = {}
    for host in (ROUTER, EGRESS):
        logs = (folder / host.name).rglob("replica_pointsman_*.log")
        found[host.name] = sorted({log.name.split("_")[2] for log in logs})
    return found


def _ready() -> bool:
    try:
        answer = httpx2.get(f"{URL}/readyz", timeout=5, trust_env=False)
    except httpx2.HTTPError:
        return False
    lanes = answer.json()["lanes"].values() if answer.status_code == 200 else ()
    return bool(lanes) and all(lane["state"] == "ready" for lane in lanes)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except NotUp as error:
        print(error, file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)
