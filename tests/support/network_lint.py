"""Every opening in the manifests of one overlay, held against the list of those that there may be.

Reads rules, where `test_k8s_network` works out who reaches whom: a rule for a port that no test asks about is seen.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.support.manifests import Document

RAY = {"podSelector": {"matchLabels": {"pointsman.dev/pods": "ray"}}}
DNS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
    "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
}
OPERATOR = {
    "namespaceSelector": {},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}},
}
PROMETHEUS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
}
PRIVATE = [ipaddress.IPv4Network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
INSIDE = [*PRIVATE, ipaddress.IPv4Network("100.64.0.0/10"), ipaddress.IPv4Network("169.254.0.0/16")]
STATE = {"core": {5432}, "head": {6379, 443, 6443}}
HTTPS_OUT = {"egress", "models"}
KINDS = {
    "Namespace",
    "ConfigMap",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Job",
    "RayService",
}
ON_THE_HOST = ("hostNetwork", "hostPID", "hostIPC")

Ports = set[tuple[int, str]]


class Pod(NamedTuple):
    """One kind of pod: its group, where its template stands, and the template."""

    group: str
    path: str
    template: Document


def openings(documents: Iterable[Document]) -> list[str]:
    """What is open and should not be, each as `path: what`."""
    documents = list(documents)
    pods = [pod for document in documents for pod in pods_of(document)]
    found = [
        f"{one['kind']} {one['metadata']['name']}: this kind is not known here" for one in _unknown(documents)
    ]
    for document in documents:
        if document["kind"] == "NetworkPolicy":
            found += _policy(document, pods)
        elif document["kind"] == "RayService":
            found += _service(document["spec"])
    for pod in pods:
        found += _host(pod)
        found += _closed(pod, documents)
    return found


def pods_of(document: Document) -> Iterator[Pod]:
    """The kinds of pods that a document makes."""
    if document["kind"] == "Job":
        yield Pod("models", "Job spec.template", document["spec"]["template"])
    if document["kind"] == "RayService":
        cluster, start = document["spec"]["rayClusterConfig"], "RayService spec.rayClusterConfig"
        yield Pod("head", f"{start}.headGroupSpec.template", cluster["headGroupSpec"]["template"])
        for at, group in enumerate(cluster["workerGroupSpecs"]):
            yield Pod(group["groupName"], f"{start}.workerGroupSpecs[{at}].template", group["template"])


def _unknown(documents: list[Document]) -> list[Document]:
    return [one for one in documents if one["kind"] not in KINDS]


def _closed(pod: Pod, documents: list[Document]) -> Iterator[str]:
    """A pod that no policy of a direction means is open in it."""
    for way in ("Ingress", "Egress"):
        policies = (d["spec"] for d in documents if d["kind"] == "NetworkPolicy")
        if not any(way in policy["policyTypes"] and _means(policy, pod) for policy in policies):
            yield f"{pod.path}.metadata.labels: no NetworkPolicy of type {way} means this pod"


def _means(policy: Document, pod: Pod) -> bool:
    labels = pod.template["metadata"]["labels"]
    return bool(policy["podSelector"].get("matchLabels", {}).items() <= labels.items())


def _policy(document: Document, pods: list[Pod]) -> Iterator[str]:
    name, spec = f"NetworkPolicy {document['metadata']['name']}", document["spec"]
    if spec["podSelector"].keys() != {"matchLabels"}:
        yield f"{name} spec.podSelector: matchLabels and nothing else"
    groups = {pod.group for pod in pods if _means(spec, pod)}
    for way, side in (("egress", "to"), ("ingress", "from")):
        for at, rule in enumerate(spec.get(way, ())):
            path = f"{name} spec.{way}[{at}]"
            yield from _rule(path, side, rule, groups)


def _rule(path: str, side: str, rule: Document, groups: set[str]) -> Iterator[str]:
    ports = {(one.get("port", 0), one.get("protocol", "TCP")) for one in rule.get("ports", ())}
    for at, port in enumerate(rule.get("ports", ())):
        if port.keys() - {"port", "protocol"} or not isinstance(port.get("port"), int):
            yield f"{path}.ports[{at}]: one number and a protocol, nothing else"
    if not rule.get(side):
        if side == "to" or not _anybody(ports, groups):
            yield f"{path}: open {side} anybody, ports {_said(ports)}"
        return
    for at, peer in enumerate(rule[side]):
        if not (_out(peer, ports, groups) if side == "to" else _in(peer, ports, groups)):
            yield f"{path}.{side}[{at}]: {peer}, ports {_said(ports)}, for {', '.join(sorted(groups))}"


def _anybody(ports: Ports, groups: set[str]) -> bool:
    """The one door for clients."""
    return ports == {(8000, "TCP")} and not groups & {"head", "models"}


def _in(peer: Document, ports: Ports, groups: set[str]) -> bool:
    if peer == RAY:
        return not ports and "models" not in groups
    if peer == OPERATOR:
        return ports == {(8265, "TCP")} and groups == {"head"}
    return peer == PROMETHEUS and ports == {(8080, "TCP")}


def _out(peer: Document, ports: Ports, groups: set[str]) -> bool:
    if peer == RAY:
        return not ports and "models" not in groups
    if peer == DNS:
        return ports == {(53, "UDP"), (53, "TCP")}
    return peer.keys() == {"ipBlock"} and _addresses(peer["ipBlock"], ports, groups)


def _addresses(block: Document, ports: Ports, groups: set[str]) -> bool:
    net = ipaddress.ip_network(block["cidr"])
    numbers = {number for number, protocol in ports if protocol == "TCP"}
    if not isinstance(net, ipaddress.IPv4Network) or not ports or len(numbers) < len(ports):
        return False
    if any(net.subnet_of(private) for private in PRIVATE):
        return all(numbers <= STATE.get(group, set()) for group in groups)
    left = [ipaddress.IPv4Network(one) for one in block.get("except", ())]
    closed = all(inside in left for inside in INSIDE if inside.overlaps(net))
    return closed and numbers == {443} and groups <= HTTPS_OUT


def _service(spec: Document) -> Iterator[str]:
    """Other ways in that KubeRay would make."""
    cluster = spec["rayClusterConfig"]
    head, start = cluster["headGroupSpec"], "RayService spec.rayClusterConfig"
    if head.get("enableIngress"):
        yield f"{start}.headGroupSpec.enableIngress: the dashboard stays inside"
    if head.get("serviceType", "ClusterIP") != "ClusterIP":
        yield f"{start}.headGroupSpec.serviceType: the dashboard stays inside"
    if "headService" in head:
        yield f"{start}.headGroupSpec.headService: the dashboard stays inside"
    if "serveService" in spec:
        yield "RayService spec.serveService: KubeRay's own, port 8000 alone"
    if not spec.get("excludeHeadPodFromServeSvc"):
        yield "RayService spec.excludeHeadPodFromServeSvc: the head takes no request"
    if cluster.get("authOptions", {}).get("mode") != "token":
        yield f"{start}.authOptions.mode: token"


def _host(pod: Pod) -> Iterator[str]:
    """What goes round every NetworkPolicy."""
    spec = pod.template["spec"]
    yield from (
        f"{pod.path}.spec.{key}: goes round every NetworkPolicy" for key in ON_THE_HOST if spec.get(key)
    )
    for kind in ("containers", "initContainers"):
        for at, one in enumerate(spec.get(kind, ())):
            for number, port in enumerate(one.get("ports", ())):
                if "hostPort" in port:
                    yield f"{pod.path}.spec.{kind}[{at}].ports[{number}].hostPort: opens the node"


def _said(ports: Ports) -> str:
    return ", ".join(f"{number}/{protocol}" for number, protocol in sorted(ports, key=str)) or "all"
