"""A Pointsman, mostly on stub engines, as a child process: started, watched, stopped. Knows no test."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from serve.up import free_ports

ROOT = Path(__file__).parents[2]
PATIENCE_S = {"stub": 180.0, "vllm": 600.0}


@dataclass(slots=True)
class StubGraph:
    """`seen` holds what Serve said of every engine's replicas, once a second: (wall clock, engine -> state -> n).

    `app` is the application's state as of the last second.
    """

    path: Path
    port: int
    url: str = ""
    app: str = ""
    seen: list[tuple[float, dict[str, dict[str, int]]]] = field(default_factory=list)
    process: "subprocess.Popen[str] | None" = None

    def write(self, config: dict[str, Any]) -> None:
        """The configuration that the process reads, with its own address."""
        server = {"host": "127.0.0.1", "port": self.port} | config.get("server", {})
        self.path.write_text(yaml.safe_dump(config | {"server": server}))

    def deploy(self, config: dict[str, Any]) -> None:
        """Have `config` deployed in place of what runs. Does not wait for it."""
        assert self.process is not None
        self.write(config)
        self.process.send_signal(signal.SIGHUP)

    def replicas(self, engine: str, state: str = "RUNNING") -> int:
        """Replicas of one engine in `state`, as of the last second."""
        return self.seen[-1][1].get(engine, {}).get(state, 0) if self.seen else 0

    def wait_until(self, true: Callable[[], bool], seconds: float, what: str) -> None:
        """Poll until `true()` holds. Raises AssertionError with `what` otherwise."""
        until = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < until, (
                f"waited {seconds} s in vain for {what}; last seen {self.seen[-1:]}"
            )
            time.sleep(0.1)

    def read(self, lines: Iterator[str]) -> None:
        """Take in what the child prints, until it ends."""
        for line in lines:
            if line.startswith("http"):
                self.url = line.strip()
            elif line.startswith('{"at"'):
                told = json.loads(line)
                self.app = told["app"]
                self.seen.append((told["at"], told["engines"]))


@contextmanager
def stub_graph(config: dict[str, Any], kind: str = "stub") -> Iterator[StubGraph]:
    """`config` on a free port for as long as the block lasts; `kind`: its engines are stubs, or what they say."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        graph = StubGraph(Path(folder) / "pointsman.yaml", port)
        graph.write(config)
        graph.process = process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.stub_graph", str(graph.path), kind],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        reader = threading.Thread(target=graph.read, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            graph.wait_until(
                lambda: bool(graph.url and graph.seen) or process.poll() is not None,
                PATIENCE_S[kind],
                "the graph",
            )
            assert process.poll() is None, "the graph did not come up"
            yield graph
        finally:
            process.terminate()
            process.wait(PATIENCE_S[kind])
            reader.join(10)
            process.stdout.close()
            log.seek(0)
            print(log.read().decode(errors="replace")[-4000:])
