"""One `pointsman up` as a child process: started on a free port, watched, stopped. Measures nothing."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import Self

from bench import processes
from bench.machine import ROOT
from serve.up import free_ports

PATIENCE_S = 120.0


class StartFailed(Exception):
    """The message says what happened and shows the child's last words."""


class Child:
    """A Pointsman in a process group of its own, for as long as the `with` block lasts."""

    def __init__(self, config: Path, proxy: str) -> None:
        self.mark = uuid.uuid4().hex
        self._config, self._proxy = config, proxy
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        command = [sys.executable, "-m", "serve.cli", "up", "--config", str(self._config)]
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, "--port", str(self._port), "--proxy", self._proxy],
            env=_environment() | {processes.MARK: self.mark},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the bench alone, and the bench stops the child
        )
        return self

    def __exit__(self, *_: object) -> None:
        family = processes.tree(self.pid, self.mark) if sys.platform == "linux" else set()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._end_leftovers(family)
        self._log.close()

    @property
    def pid(self) -> int:
        """The driver's process id."""
        return self._process.pid

    def age_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def require_alive(self) -> None:
        """Raises StartFailed with the child's last words when it has ended."""
        if (status := self._process.poll()) is not None:
            words = self.last_words()
            raise StartFailed(f"`pointsman up` ended with status {status}; its last words:\n{words}")

    def last_words(self) -> str:
        """The end of what the child printed."""
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-20:])

    def _end_leftovers(self, family: Set[int]) -> None:
        """Whoever outlived the driver and is still one of ours: a process id may have a new owner by now."""
        for pid in family & (processes.tree(self.pid, self.mark) | processes.members(self.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    path = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)}
