"""Everything that runs beside the measurement: the upstream and the routers, each a process tree with a mark.

Linux only: CPU time and memory are read from /proc.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

from bench import processes
from bench.machine import ROOT
from bench.overhead.install import Skipped
from bench.overhead.peers import Start

PATIENCE_S = 240.0


@dataclass(slots=True)
class Runner:
    """One router that answers. `root` and `mark` name its processes; `direct` has none."""

    name: str
    version: str
    url: str
    model: str = "mock"
    headers: Mapping[str, str] = field(default_factory=dict)
    root: int | None = None
    mark: str = ""
    idle_ms_per_s: float = 0.0

    def pids(self) -> set[int]:
        """Every process of its tree."""
        return processes.tree(self.root, self.mark) if self.root is not None else set()

    def cpu_ms(self) -> dict[int, float]:
        """User and system time of each process so far."""
        spent = {}
        for pid in self.pids():
            with suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                spent[pid] = (times.user + times.system) * 1000
        return spent

    def rss_mib(self) -> float:
        """Resident memory of the tree."""
        return sum(process.rss_kib for process in processes.measure(self.pids())) / 1024


@contextmanager
def child(
    command: list[str], environment: Mapping[str, str], log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process in a group of its own, ended with all its tree; its mark finds those that leave the tree.

    All it prints goes to the file: a pipe that nobody reads stops a router at its 64th KiB of access log.
    """
    mark = uuid.uuid4().hex
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"PYTHONPATH": path} if command[0] == sys.executable else {}
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**clean, **own, **environment, processes.MARK: mark},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process, mark
        finally:
            _end(process, mark)


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    family = processes.tree(process.pid, mark)
    assert process.stdin is not None
    process.stdin.close()  # the end for those that read it
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
    for pid in family & processes.tree(process.pid, mark):
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
    process.wait()


def printed_url(process: subprocess.Popen[bytes], log: Path) -> str:
    """The URL that a process started here prints on a line of its own. Raises Skipped when none comes."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        ended = process.poll() is not None
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            if line.startswith("http://") and line.endswith("\n"):
                return line.strip()
        if ended:
            raise Skipped("ended before it answered")
        time.sleep(0.05)
    raise Skipped(f"said no URL within {PATIENCE_S:.0f} s")


def launched(stack: ExitStack, name: str, version: str, start: Start, log: Path) -> Runner:
    """The router, started and not yet ready. Raises Skipped."""
    try:
        process, mark = stack.enter_context(child(start.command, start.environment, log))
    except OSError as error:
        raise Skipped(f"cannot be started: {error.strerror}") from error
    url = start.url or f"{printed_url(process, log)}/v1"
    return Runner(name, version, url, start.model, start.headers, process.pid, mark)


def wait_ready(runner: Runner) -> None:
    """Until it answers a chat request. Raises Skipped with its last answer."""
    last, until = "nothing", time.monotonic() + PATIENCE_S
    body = {"model": runner.model, "messages": [{"role": "user", "content": "ready?"}]}
    with httpx2.Client(trust_env=False, timeout=30) as client:
        while time.monotonic() < until:
            if runner.root is not None and not psutil.pid_exists(runner.root):
                raise Skipped("ended before it answered")
            try:
                answer = client.post(
                    f"{runner.url}/chat/completions", json=body, headers=dict(runner.headers)
                )
                if answer.status_code == 200:
                    return
                last = f"{answer.status_code} {answer.text[:120]}"
            except httpx2.HTTPError as error:
                last = type(error).__name__
            time.sleep(0.5)
    raise Skipped(f"no good answer within {PATIENCE_S:.0f} s: {last}")
