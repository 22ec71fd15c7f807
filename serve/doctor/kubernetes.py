"""A Pointsman on Kubernetes, read by kubectl: RayService, pods, NetworkPolicies, volumes. Changes nothing."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import cast

from pydantic import JsonValue

from serve.doctor.finding import Finding, fail, ok, warn
from serve.errors import ConfigError

POLICIES = frozenset(
    {
        "pointsman-inside",
        "pointsman-clients",
        "pointsman-operator",
        "pointsman-metrics",
        "pointsman-egress",
        "pointsman-models",
    }
)
LISTS = {
    "rayservice": ("/apis/ray.io/v1/namespaces/{}/rayservices", "install KubeRay 1.7 (docs/kuberay.md)"),
    "pods": ("/api/v1/namespaces/{}/pods", "may you list pods?"),
    "network policies": (
        "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
        "may you list network policies?",
    ),
    "volumes": ("/api/v1/namespaces/{}/persistentvolumeclaims", "may you list volume claims?"),
}
ANSWERED = ("Error from server", "kubectl gave no list")  # there is a cluster, but not this in it
RESTARTS = 3
RUNNING, LATE_MIN = ("Running", "Succeeded"), 20

Object = dict[str, JsonValue]


def look(namespace: str, context: str | None = None) -> Iterator[Finding]:
    """What kubectl shows of `namespace`. Raises ConfigError for what cannot be the name of one."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise ConfigError(f"--namespace: {namespace!r} cannot be the name of a namespace")
    command = shutil.which("kubectl")
    if command is None:
        yield fail(
            "kubectl", "not installed here", "install it, or run this where it is: `k8s/kubectl.sh` has one"
        )
        return
    base = [command, *(["--context", context] if context else [])]
    judges = {"rayservice": services, "pods": pods, "network policies": policies, "volumes": volumes}
    for check, (path, hint) in LISTS.items():
        found = _list(base, path.format(namespace))
        if isinstance(found, str) and not found.startswith(ANSWERED):
            yield fail("cluster", found, "is it up, and the right one? kubectl config current-context")
            return
        if isinstance(found, str):
            yield fail(check, found, hint)
        else:
            yield from judges[check](found)


def services(items: Sequence[Object]) -> Iterator[Finding]:
    """Every RayService: ready, and its applications running."""
    if not items:
        yield fail("rayservice", "there is none in this namespace", "kubectl apply -k k8s/overlays/<overlay>")
    for item in items:
        check = f"rayservice {_name(item)}"
        conditions = {c["type"]: c for c in _dicts(item, "status", "conditions")}
        ready = conditions.get("Ready", {})
        if ready.get("status") == "True":
            yield ok(check, "ready")
        else:
            why = str(ready.get("message") or ready.get("reason") or "no condition Ready yet")
            yield fail(check, f"not ready: {why}", "kubectl describe rayservice; the operator's log")
        applications = _at(item, "status", "activeServiceStatus", "applicationStatuses")
        for name, state in (applications if isinstance(applications, dict) else {}).items():
            yield from _application(str(name), state)


def _application(name: str, state: JsonValue) -> Iterator[Finding]:
    said = str(state.get("status")) if isinstance(state, dict) else "unknown"
    if said == "RUNNING":
        yield ok(f"application {name}", said)
    else:
        message = str(state.get("message") or "") if isinstance(state, dict) else ""
        yield fail(f"application {name}", f"{said} {message}".strip(), "the Router's and controller's logs")


def pods(items: Sequence[Object]) -> Iterator[Finding]:
    """Every pod that is not well; one line for all that are."""
    bad = [finding for item in items if (finding := _pod(item)) is not None]
    yield from bad
    if not items:
        yield fail("pods", "there are none", "kubectl describe rayservice; the operator's log")
    elif len(bad) < len(items):
        yield ok("pods", f"{len(items) - len(bad)} of {len(items)} are well")


def _pod(item: Object) -> Finding | None:
    check, phase = f"pod {_name(item)}", str(_at(item, "status", "phase"))
    containers = _dicts(item, "status", "initContainerStatuses") + _dicts(item, "status", "containerStatuses")
    waiting = [str(why) for c in containers if (why := _at(c, "state", "waiting", "reason"))]
    restarts = sum(int(str(c.get("restartCount") or 0)) for c in containers)
    if phase == "Pending" and waiting in ([], ["PodInitializing"]) and _minutes(item) < LATE_MIN:
        return warn(check, "starting", "wait; weights take minutes to load")
    if phase not in RUNNING or any("Err" in why or "BackOff" in why for why in waiting):
        said = ", ".join([phase, *waiting, *_unscheduled(item)])
        return fail(check, said, f"kubectl describe pod {_name(item)} (docs/operations.md, by symptom)")
    if restarts >= RESTARTS:
        return warn(check, f"{restarts} restarts", f"kubectl logs --previous {_name(item)}")
    unready = [str(c["name"]) for c in _dicts(item, "status", "containerStatuses") if not c.get("ready")]
    if phase == "Running" and unready:
        return warn(check, f"not ready: {', '.join(unready)}", f"kubectl describe pod {_name(item)}")
    return None


def policies(items: Sequence[Object]) -> Iterator[Finding]:
    """The network as the second lock: every policy of k8s/base is there."""
    missing = sorted(POLICIES - {_name(item) for item in items})
    if missing:
        yield fail(
            "network policies", f"missing: {', '.join(missing)}", "kubectl apply -k k8s/overlays/<overlay>"
        )
    else:
        yield ok(
            "network policies",
            f"all {len(POLICIES)} are there; whether the network plugin obeys is not seen here",
        )


def volumes(items: Sequence[Object]) -> Iterator[Finding]:
    """Every claim is bound."""
    if not items:
        yield warn("volumes", "no claim: weights have no place", "kubectl apply -k k8s/overlays/<overlay>")
    for item in items:
        phase = str(_at(item, "status", "phase"))
        check = f"volume {_name(item)}"
        yield (
            ok(check, phase)
            if phase == "Bound"
            else fail(
                check, phase, "a storage class? kubectl describe pvc; k8s/overlays/<overlay>/volume.yaml"
            )
        )


def _list(base: Sequence[str], path: str) -> list[Object] | str:
    """The items, or kubectl's last words."""
    command = [*base, "get", "--raw", path, "--request-timeout=15s"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["kubectl failed"])[-1]
        items = json.loads(done.stdout)["items"]
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        return f"kubectl gave no list: {type(error).__name__}"
    return cast(list[Object], items)


def _at(item: JsonValue, *path: str) -> JsonValue:
    for key in path:
        item = item.get(key) if isinstance(item, dict) else None
    return item


def _dicts(item: Object, *path: str) -> list[Object]:
    found = _at(item, *path)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _name(item: Object) -> str:
    return str(_at(item, "metadata", "name"))


def _minutes(item: Object) -> float:
    made = _at(item, "metadata", "creationTimestamp")
    if not isinstance(made, str):
        return 0
    return (datetime.now(UTC) - datetime.fromisoformat(made)).total_seconds() / 60


def _unscheduled(item: Object) -> list[str]:
    return [
        str(c.get("message"))
        for c in _dicts(item, "status", "conditions")
        if c.get("type") == "PodScheduled" and c.get("status") != "True"
    ]
