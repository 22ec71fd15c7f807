"""Start a child that Ctrl-C reaches even where this test run ignores it, as a shell's background job does."""

import signal
import subprocess
from typing import Any


def popen(command: list[str], **options: Any) -> "subprocess.Popen[Any]":
    """subprocess.Popen with the default SIGINT: an ignored one is inherited, and Python then leaves it ignored."""
    return subprocess.Popen(command, preexec_fn=_default_interrupt, **options)


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
