"""Who may reach whom by the NetworkPolicies of the rendered manifests: worked out pod by pod, not read off."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.manifests import OVERLAYS, Document, groups, of_kind

PROVIDER = ipaddress.ip_address("203.0.114.7")
METADATA = ipaddress.ip_address("169.254.169.254")
NEIGHBOUR = ipaddress.ip_address("10.1.2.3")
FOREIGN = {"app": "anything"}
OPERATOR = {"app.kubernetes.io/name": "kuberay-operator"}
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}
CLOSED = (
    6379,
    8265,
    8080,
    8404,
    9101,
    10001,
    52365,
    30000,
)  # GCS, dashboard and jobs, metrics, HAProxy, client

Labels = dict[str, str]

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@dataclass(frozen=True)
class Peer:
    """Another pod, or an address outside of the cluster."""

    labels: Labels | None = None
    namespace: str = "pointsman"
    address: ipaddress.IPv4Address | None = None


def outside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Peer:
    assert isinstance(address, ipaddress.IPv4Address)
    return Peer(address=address)


def chosen(selector: Document | None, labels: Labels) -> bool:
    """Whether a label selector of `matchLabels` alone chooses `labels`."""
    assert selector is not None
    assert selector.keys() <= {"matchLabels"}, "this test reads matchLabels alone"
    wanted: Labels = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def meant(rule: Document, peer: Peer) -> bool:
    """Whether one entry of `to` or `from` means `peer`."""
    assert rule.keys() <= {"podSelector", "namespaceSelector", "ipBlock"}
    if "ipBlock" in rule:
        block = rule["ipBlock"]
        inside = peer.address is not None and peer.address in ipaddress.ip_network(block["cidr"])
        return inside and not any(
            peer.address in ipaddress.ip_network(net) for net in block.get("except", ())
        )
    if peer.labels is None:
        return False
    if "namespaceSelector" in rule:
        if not chosen(rule["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace}):
            return False
    elif peer.namespace != "pointsman":
        return False
    return "podSelector" not in rule or chosen(rule["podSelector"], peer.labels)


def allowed(overlay: str, pod: Labels, way: str, peer: Peer, port: int) -> bool:
    """Whether `pod` may open (`Egress`) or take (`Ingress`) a TCP connection; no policy for it means yes."""
    side = {"Egress": "to", "Ingress": "from"}[way]
    policies = [p["spec"] for p in of_kind(overlay, "NetworkPolicy") if chosen(p["spec"]["podSelector"], pod)]
    policies = [p for p in policies if way in p["policyTypes"]]
    return not policies or any(
        (side not in rule or any(meant(one, peer) for one in rule[side]))
        and ("ports" not in rule or any(p["port"] == port and p["protocol"] == "TCP" for p in rule["ports"]))
        for policy in policies
        for rule in policy.get(way.lower(), ())
    )


def pods(overlay: str) -> Iterator[tuple[str, Labels]]:
    for name, group in groups(overlay).items():
        yield name, group["template"]["metadata"]["labels"]
    (job,) = of_kind(overlay, "Job")
    yield "models", job["spec"]["template"]["metadata"]["labels"]


@every_overlay
def test_only_egress_pods_reach_the_outside(overlay: str) -> None:
    out = {name for name, pod in pods(overlay) if allowed(overlay, pod, "Egress", outside(PROVIDER), 443)}
    assert out == {"egress", "models"}  # the job that fetches weights holds no key and sees no request
    for port in (22, 53, 80, 5432, 6379, 8000, 8443):
        assert not any(allowed(overlay, pod, "Egress", outside(PROVIDER), port) for _, pod in pods(overlay))


@every_overlay
def test_nobody_reaches_the_metadata_service_of_a_cloud(overlay: str) -> None:
    for port in (80, 443):
        assert not any(allowed(overlay, pod, "Egress", outside(METADATA), port) for _, pod in pods(overlay))


@every_overlay
def test_the_inside_of_the_network_is_open_for_the_state_alone(overlay: str) -> None:
    ports = (22, 80, 443, 5432, 6379, 6443, 8000, 8265)
    ways = {
        (name, port)
        for name, pod in pods(overlay)
        for port in ports
        if allowed(overlay, pod, "Egress", outside(NEIGHBOUR), port)
    }
    state = {("core", 5432), ("head", 6379), ("head", 443), ("head", 6443)}
    assert ways == (state if overlay == "gpu-prod" else set())


@every_overlay
def test_ray_s_pods_reach_each_other(overlay: str) -> None:
    ray = {name: pod for name, pod in pods(overlay) if name != "models"}
    for one in ray.values():
        for other in ray.values():
            assert allowed(overlay, one, "Egress", Peer(other), 10002)
            assert allowed(overlay, other, "Ingress", Peer(one), 10002)


@every_overlay
def test_only_the_ingress_port_is_open_to_others(overlay: str) -> None:
    for name, pod in pods(overlay):
        for peer in (Peer(FOREIGN), Peer(FOREIGN, "elsewhere"), outside(NEIGHBOUR), outside(PROVIDER)):
            assert allowed(overlay, pod, "Ingress", peer, 8000) == (name not in ("head", "models")), name
            assert not any(allowed(overlay, pod, "Ingress", peer, port) for port in CLOSED), name


@every_overlay
def test_the_operator_reaches_the_head_and_prometheus_the_metrics(overlay: str) -> None:
    for name, pod in pods(overlay):
        operator, prometheus = Peer(OPERATOR, "kuberay"), Peer(PROMETHEUS, "monitoring")
        ray = name != "models"
        assert [p for p in CLOSED if allowed(overlay, pod, "Ingress", operator, p)] == [8265] * (
            name == "head"
        )
        assert [p for p in CLOSED if allowed(overlay, pod, "Ingress", prometheus, p)] == [8080] * ray
        assert not allowed(overlay, pod, "Ingress", Peer(PROMETHEUS, "elsewhere"), 8080)


def test_a_pod_that_no_policy_chooses_would_be_noticed() -> None:
    assert allowed("cpu", {"pointsman.dev/group": "new"}, "Egress", outside(PROVIDER), 443)


@every_overlay
def test_the_service_never_leads_to_the_head(overlay: str) -> None:
    (service,) = of_kind(overlay, "RayService")
    assert service["spec"]["excludeHeadPodFromServeSvc"] is True
