"""On one machine every port of the graph listens on loopback: Serve 2.60 opens some on all interfaces.

The replicas' gRPC ports take pickled payloads, so on a shared network they would be remote code execution.
Serve has no setting for their address. On a cluster NetworkPolicies do this job and this is not used.
"""

from typing import Any

from serve import revive

LOOPBACK = "127.0.0.1"
HOOK = "serve.loopback.bind"


def bind() -> None:
    """Ray's `worker_process_setup_hook`: runs in every worker before its actor. Raises if Serve has changed."""
    from ray.serve._private import haproxy as haproxy_module
    from ray.serve._private import replica as replica_module

    haproxy: Any = haproxy_module
    replica: Any = replica_module
    listen = replica.add_port_to_grpc_server

    def on_loopback(server: Any, address: str) -> Any:
        return listen(server, address.replace("[::]", LOOPBACK))

    replica.add_port_to_grpc_server = on_loopback
    haproxy.HAPROXY_CONFIG_TEMPLATE = confined(haproxy.HAPROXY_CONFIG_TEMPLATE)
    revive.keep(haproxy)


def confined(template: str) -> str:
    """HAProxy's configuration with its statistics and metrics ports on loopback. Raises RuntimeError."""
    for everywhere, port in (("bind *:{{", "config.stats_port"), ("bind :{{", "config.metrics_port")):
        wide = f"{everywhere} {port} }}}}"
        if wide not in template:
            raise RuntimeError(
                f"Serve's HAProxy template has no {wide!r}: serve/loopback.py does not know this Ray"
            )
        template = template.replace(wide, f"bind {LOOPBACK}:{{{{ {port} }}}}")
    return template
