"""A whole Pointsman on stub engines, or with `vllm` on its own: `python -m tests.support.stub_graph CONFIG [vllm]`.

Runs until SIGTERM. Prints its URL, then once a second one JSON line: the state of the application and of every
engine's replicas. On SIGHUP it deploys what CONFIG says then, as a new version beside the running one.
A process of its own, because Ray reads its settings when it is imported.
"""

import json
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from rich.console import Console

from serve import config
from serve.up import APP, deploy, running

if TYPE_CHECKING:
    from ray.serve import Deployment

ENGINE = "Engine-"


def main(path: str, kind: str = "stub") -> None:
    """Run until SIGTERM."""
    engine = _stub if kind == "stub" else None
    stop, again = threading.Event(), threading.Event()
    with running(config.load(path), Console(stderr=True), engine=engine) as url:
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGHUP, lambda *_: again.set())
        print(url, flush=True)
        while not stop.wait(1):
            if again.is_set():
                again.clear()
                deploy(config.load(path), engine)
            print(json.dumps({"at": time.time(), "app": _app(), "engines": _replicas()}), flush=True)


def _stub() -> "Deployment":
    from tests.support.stub_engine import StubDeployment

    return StubDeployment


def _app() -> str:
    from ray import serve

    return str(serve.status().applications[APP].status.value)


def _replicas() -> dict[str, dict[str, int]]:
    from ray import serve

    deployments = serve.status().applications[APP].deployments
    return {
        name.removeprefix(ENGINE): {str(state): count for state, count in seen.replica_states.items()}
        for name, seen in deployments.items()
        if name.startswith(ENGINE)
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
