"""The processes of one Pointsman and the memory each holds, read from /proc: Linux only.

Knows command lines, not what the processes do.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.report import without_places

PROC = Path("/proc")
MARK = "POINTSMAN_BENCH"
PARENT, SESSION = 1, 3  # places in the line of `stat`, counted from the state
# The first text that the command line contains names the role.
ROLES = {
    "gcs/gcs_server": "GCS",
    "raylet/raylet": "raylet",
    "bin/haproxy": "HAProxy",
    "ray::HAProxyManager": "proxy",
    "ray::ProxyActor": "proxy",
    "ray::ServeController": "Serve controller",
    ":Router": "Router",
    ":Scout": "Scout",
    ":CloudProxy": "CloudProxy",
    ":Engine-": "Engine replica",
    "VLLM::": "EngineCore",
    "serve.cli up": "driver",
}


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `pss_kib` counts a page shared by n processes as 1/n; None where it may not be read."""

    pid: int
    role: str
    command: str
    rss_kib: int
    pss_kib: int | None


def role(command: str) -> str:
    """What a command line is for; `other` for Ray's agents, monitors and idle workers."""
    return next((name for text, name in ROLES.items() if text in command), "other")


def tree(root: int, mark: str) -> set[int]:
    """`root`, its descendants, and what carries `mark` in its environment: a daemon has another parent."""
    parents = {pid: parent for pid in _pids() if (parent := _number(pid, PARENT)) is not None}
    found = {root} | {pid for pid in parents if _carries(pid, mark)}
    while fresh := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= fresh
    return found & (parents.keys() | {root})


def members(session: int) -> set[int]:
    """The processes of one session, whoever their parent is now."""
    return {pid for pid in _pids() if _number(pid, SESSION) == session}


def measure(pids: Iterable[int]) -> list[Process]:
    """The processes that still live, largest first."""
    processes = [process for pid in pids if (process := _process(pid)) is not None]
    return sorted(processes, key=lambda process: -process.rss_kib)


def commands(pids: Iterable[int]) -> dict[int, str]:
    """The command lines of those that still live."""
    return {pid: command for pid in pids if (command := _command(pid))}


def _command(pid: int) -> str:
    """Empty for a process that has ended."""
    with suppress(OSError):
        line = (PROC / str(pid) / "cmdline").read_bytes()
        return line.replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def _process(pid: int) -> Process | None:
    with suppress(OSError):
        command = _command(pid)
        sizes = _sizes(pid)
        if command and "Rss" in sizes:
            shown = without_places(command)[:80]
            return Process(pid, role(command), shown, sizes["Rss"], sizes.get("Pss"))
    return None


def _sizes(pid: int) -> dict[str, int]:
    """KiB by name. Another user's smaps cannot be read, but its status can."""
    try:
        return _table((PROC / str(pid) / "smaps_rollup").read_text())
    except OSError:
        status = _table((PROC / str(pid) / "status").read_text())
        return {"Rss": status["VmRSS"]} if "VmRSS" in status else {}


def _table(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(PROC) if name.isdigit())


def _number(pid: int, field: int) -> int | None:
    """One number of the line in `stat`."""
    with suppress(OSError, ValueError, IndexError):
        # The name in brackets before the numbers may hold spaces and brackets of its own.
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[field])
    return None


def _carries(pid: int, mark: str) -> bool:
    with suppress(OSError):
        return f"{MARK}={mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return False
