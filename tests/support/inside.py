"""Answers questions from inside a running cluster, one line each: `python -m tests.support.inside ADDRESS`.

A process of its own, because Ray reads its settings when it is imported.
"""

import logging
import os
import sys


def main(address: str) -> None:
    from serve.up import environment

    # Its own loop for handles: this process has none.
    os.environ.update(environment(proxy="haproxy") | {"RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1"})
    import ray
    from ray import serve

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    for line in sys.stdin:
        if line.strip() == "running":
            engine = serve.get_deployment_handle("Engine-small", "pointsman")
            print(engine.running.remote().result(timeout_s=30), flush=True)
        else:
            scout = serve.get_deployment_handle("Scout", "pointsman")
            reading, _task = scout.judge.remote("Why is the sky blue?").result(timeout_s=30)
            print(reading.source, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
