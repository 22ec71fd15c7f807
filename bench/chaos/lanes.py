"""Lanes that can be broken: each is a loopback provider in a process of its own, on a port that stays.

Knows how to kill, stop and slow one. Does not know why.
"""

import os
import signal
import subprocess
import sys
from typing import Self

from bench.machine import ROOT
from serve.up import free_ports


class Lane:
    """One provider process. Every method returns when what it asks for has happened."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Listen; nothing happens when it already does. Raises OSError when the child does not come up."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.chaos.provider", "--port", str(self.port)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the run, which ends its lanes itself
        )
        self._read()

    def kill(self) -> None:
        """SIGKILL; nothing happens when it is dead."""
        if self._process is not None:
            with self._process:
                self._process.kill()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: the kernel still accepts connections, and nobody answers."""
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT; nothing happens when it runs, or is dead."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def play(self, fault: str = "") -> None:
        """Answer with this fault from now on; none: as the model name says."""
        self._tell(f"fault {fault}")

    def hits(self) -> int:
        """Requests that it has had to do with since its start and that have ended."""
        return self._tell("hits")

    @property
    def _child(self) -> "subprocess.Popen[str]":
        assert self._process is not None, "the lane is not running"
        return self._process

    def _tell(self, line: str) -> int:
        assert self._child.stdin is not None
        print(line, file=self._child.stdin, flush=True)
        return self._read()

    def _read(self) -> int:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise OSError(f"the lane on port {self.port} ended with status {self._child.wait()}")
        return int(line)
