"""Whoever opens the network of an overlay by one line is told where: each way tried on each overlay."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.manifests import OVERLAYS, documents
from tests.support.network_lint import openings

Documents = list[dict[str, Any]]

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
CLUSTER = "RayService spec.rayClusterConfig"


def policy(every: Documents, name: str) -> dict[str, Any]:
    (found,) = [one for one in every if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == name]
    spec: dict[str, Any] = found["spec"]
    return spec


def service(every: Documents) -> dict[str, Any]:
    (found,) = [one for one in every if one["kind"] == "RayService"]
    spec: dict[str, Any] = found["spec"]
    return spec


def out(rule: dict[str, Any]) -> Callable[[Documents], None]:
    """A rule that lets every Ray pod out."""
    return lambda every: policy(every, "pointsman-inside")["egress"].append(rule)


def into(name: str, rule: dict[str, Any]) -> Callable[[Documents], None]:
    return lambda every: policy(every, name)["ingress"].append(rule)


def labels(every: Documents) -> None:
    service(every)["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["metadata"]["labels"] = {}


def on_the_host(every: Documents) -> None:
    service(every)["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["hostNetwork"] = True


def host_port(every: Documents) -> None:
    head = service(every)["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    head["ports"][1]["hostPort"] = 8265


def metadata_service(every: Documents) -> None:
    policy(every, "pointsman-egress")["egress"][0]["to"][0]["ipBlock"]["except"].remove("169.254.0.0/16")


def any_port_out(every: Documents) -> None:
    del policy(every, "pointsman-egress")["egress"][0]["ports"]


def more_pods_out(every: Documents) -> None:
    policy(every, "pointsman-egress")["podSelector"] = {"matchLabels": {"pointsman.dev/pods": "ray"}}


def load_balancer(every: Documents) -> None:
    every.append({"kind": "Service", "metadata": {"name": "dashboard"}, "spec": {"type": "LoadBalancer"}})


ANYWHERE = {"ipBlock": {"cidr": "0.0.0.0/0"}}
INSIDE, EGRESS = (
    "NetworkPolicy pointsman-inside spec.egress[2]",
    "NetworkPolicy pointsman-egress spec.egress[0]",
)


@every_overlay
def test_nothing_is_open_but_what_has_to_be(overlay: str) -> None:
    assert openings(documents(overlay)) == []


@every_overlay
@pytest.mark.parametrize(
    ("opened", "path"),
    [
        pytest.param(out({}), INSIDE, id="to-anybody"),
        pytest.param(out({"to": [ANYWHERE]}), f"{INSIDE}.to[0]", id="to-any-address"),
        pytest.param(
            out({"to": [{"ipBlock": {"cidr": "::/0"}}]}), f"{INSIDE}.to[0]", id="to-any-ipv6-address"
        ),
        pytest.param(
            out({"to": [ANYWHERE], "ports": [{"port": 8888, "protocol": "TCP"}]}),
            f"{INSIDE}.to[0]",
            id="by-an-odd-port",
        ),
        pytest.param(out({"to": [{"namespaceSelector": {}}]}), f"{INSIDE}.to[0]", id="to-other-namespaces"),
        pytest.param(
            out({"to": [{"ipBlock": {"cidr": "10.0.0.7/32"}}], "ports": [{"port": 3128}]}),
            f"{INSIDE}.to[0]",
            id="to-a-proxy-inside",
        ),
        pytest.param(any_port_out, f"{EGRESS}.to[0]", id="egress-by-any-port"),
        pytest.param(metadata_service, f"{EGRESS}.to[0]", id="egress-to-the-metadata-service"),
        pytest.param(more_pods_out, f"{EGRESS}.to[0]", id="egress-rule-for-all"),
        pytest.param(
            into("pointsman-clients", {"ports": [{"port": 8265, "protocol": "TCP"}]}),
            "NetworkPolicy pointsman-clients spec.ingress[1]",
            id="dashboard",
        ),
        pytest.param(
            into("pointsman-operator", {"from": [ANYWHERE], "ports": [{"port": 8265, "protocol": "TCP"}]}),
            "NetworkPolicy pointsman-operator spec.ingress[1].from[0]",
            id="dashboard-of-the-head",
        ),
        pytest.param(
            into("pointsman-clients", {"ports": [{"port": 8000, "endPort": 9000}]}),
            "NetworkPolicy pointsman-clients spec.ingress[1].ports[0]",
            id="a-range",
        ),
        pytest.param(
            labels, f"{CLUSTER}.workerGroupSpecs[0].template.metadata.labels", id="pod-without-policy"
        ),
        pytest.param(
            on_the_host, f"{CLUSTER}.workerGroupSpecs[0].template.spec.hostNetwork", id="host-network"
        ),
        pytest.param(
            host_port,
            f"{CLUSTER}.headGroupSpec.template.spec.containers[0].ports[1].hostPort",
            id="host-port",
        ),
        pytest.param(
            lambda every: service(every)["rayClusterConfig"]["headGroupSpec"].update(serviceType="NodePort"),
            f"{CLUSTER}.headGroupSpec.serviceType",
            id="head-on-a-node-port",
        ),
        pytest.param(
            lambda every: service(every)["rayClusterConfig"]["authOptions"].update(mode="disabled"),
            f"{CLUSTER}.authOptions.mode",
            id="ray-without-a-token",
        ),
        pytest.param(load_balancer, "Service dashboard", id="another-service"),
    ],
)
def test_an_opening_is_reported_with_its_path(
    overlay: str, opened: Callable[[Documents], None], path: str
) -> None:
    every = copy.deepcopy(documents(overlay))
    opened(every)
    found = openings(every)
    assert found
    assert any(one.startswith(f"{path}: ") for one in found), found
