"""Which pods hold what, how much they may do, and how long they are let go: the rendered manifests."""

import json
from pathlib import Path

import pytest

from serve import haproxy
from serve.config import load
from serve.render import group_of
from tests.support.manifests import (
    OVERLAYS,
    ROOT,
    Document,
    application,
    container,
    groups,
    of_kind,
    resources,
    service,
)

PROVIDER_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "pointsman-provider-keys")

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def ray_environment(overlay: str) -> dict[str, str]:
    """The one ConfigMap of Ray's and Serve's knobs."""
    (found,) = of_kind(overlay, "ConfigMap")
    data: dict[str, str] = found["data"]
    return data


def gpus(group: Document) -> int:
    return int(container(group)["resources"]["limits"].get("nvidia.com/gpu", 0))


@every_overlay
def test_each_deployment_fits_into_one_group_and_no_other(overlay: str) -> None:
    config = load(ROOT / application(overlay)["args"]["config"])
    for entry in application(overlay)["deployments"]:
        (wanted,) = entry["ray_actor_options"]["resources"]
        places = [name for name, group in groups(overlay).items() if wanted in resources(group)]
        assert places == [group_of(config, entry["name"])]
    assert groups(overlay)["head"]["rayStartParams"]["num-cpus"] == "0"
    assert [n for n, g in groups(overlay).items() if "egress" in resources(g)] == ["egress"]


@every_overlay
def test_every_group_has_room_for_its_replicas_at_full_scale(overlay: str) -> None:
    config = load(ROOT / application(overlay)["args"]["config"])
    most = {
        f"Engine-{n}": e.autoscaling.max_replicas if e.autoscaling else 1 for n, e in config.engines.items()
    }
    most |= {
        "Router": config.server.router_replicas,
        "Scout": config.scout.most_replicas if config.scout else 0,
    }
    most |= {f"Encoder-{lane.name}": lane.replicas for lane in config.encoders}
    most["CloudProxy"] = config.server.cloud_replicas or config.server.router_replicas
    for name, group in groups(overlay).items():
        if name == "head":
            continue
        here = [e for e in application(overlay)["deployments"] if name in e["ray_actor_options"]["resources"]]
        assert here, f"nothing runs in {name}"
        for kind, one in (
            ("num_cpus", float(group["rayStartParams"]["num-cpus"])),
            ("num_gpus", gpus(group)),
        ):
            needed = sum(e["ray_actor_options"].get(kind, 0) * most[e["name"]] for e in here)
            assert needed <= one * group["maxReplicas"], (name, kind)
            assert all(e["ray_actor_options"].get(kind, 0) <= one for e in here), (name, kind)


@every_overlay
def test_several_router_pods_share_one_database(overlay: str) -> None:
    core = groups(overlay)["core"]
    if core["maxReplicas"] > 1:
        state = load(ROOT / application(overlay)["args"]["config"]).state.url
        assert getattr(state, "env", None) == "POINTSMAN_STATE_URL"
        assert {"secretRef": {"name": "pointsman-state", "optional": False}} in container(core)["envFrom"]


@every_overlay
def test_only_egress_pods_know_provider_keys(overlay: str) -> None:
    every = groups(overlay).items()
    assert {n for n, g in every if any(key in json.dumps(g) for key in PROVIDER_KEYS)} == {"egress"}
    assert not any(key in service(overlay)["spec"]["serveConfigV2"] for key in PROVIDER_KEYS)


@every_overlay
def test_only_core_pods_know_callers_keys_and_the_state(overlay: str) -> None:
    for secret in ("pointsman-keys", "pointsman-state"):
        assert {n for n, g in groups(overlay).items() if secret in json.dumps(g)} == {"core"}
    (mount,) = container(groups(overlay)["core"])["volumeMounts"]
    assert Path(mount["mountPath"]) == Path(application(overlay)["args"]["keys_file"]).parent
    assert mount["readOnly"] is True


@every_overlay
def test_secrets_are_named_and_never_written_down(overlay: str) -> None:
    assert of_kind(overlay, "Secret") == []
    assert service(overlay)["spec"]["rayClusterConfig"]["authOptions"] == {
        "mode": "token",
        "secretName": "pointsman-ray-token",
    }


@every_overlay
def test_every_pod_runs_unprivileged_with_the_same_knobs(overlay: str) -> None:
    (config_map,) = of_kind(overlay, "ConfigMap")
    (job,) = of_kind(overlay, "Job")
    knobs = {"configMapRef": {"name": config_map["metadata"]["name"]}}
    for group in groups(overlay).values():
        assert knobs in container(group)["envFrom"]
        assert {"readinessProbe", "livenessProbe"} <= container(group).keys()
    for spec in [group["template"]["spec"] for group in groups(overlay).values()] + [
        job["spec"]["template"]["spec"]
    ]:
        assert spec["securityContext"]["runAsNonRoot"] is True
        for one in (*spec["containers"], *spec.get("initContainers", ())):
            assert one["securityContext"]["allowPrivilegeEscalation"] is False
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} == one["resources"].keys()
            assert ":" in one["image"]
            assert not one["image"].endswith(":latest")
    assert ray_environment(overlay)["RAY_SERVE_LOG_TO_STDERR"] == "1"
    assert (
        ray_environment(overlay)["RAY_SERVE_HAPROXY_BINARY_PATH"]
        == f"/opt/pointsman/.venv/bin/{haproxy.NAME}"
    )


@every_overlay
def test_only_the_autoscaler_gets_a_token_of_kubernetes(overlay: str) -> None:
    cluster = service(overlay)["spec"]["rayClusterConfig"]
    scales = cluster["enableInTreeAutoscaling"]
    holders = {n for n, g in groups(overlay).items() if g["template"]["spec"]["automountServiceAccountToken"]}
    assert holders == ({"head"} if scales else set())
    assert not scales or cluster["autoscalerOptions"]["version"] == "v2"
    sizes = [g for n, g in groups(overlay).items() if n != "head"]
    assert scales or all(g["minReplicas"] == g["replicas"] == g["maxReplicas"] for g in sizes)


def test_ray_s_own_state_outlives_the_head_where_it_matters() -> None:
    options = service("gpu-prod")["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert options["backend"] == "redis"
    assert options["redisPassword"]["valueFrom"]["secretKeyRef"]["name"] == "pointsman-redis"


@every_overlay
def test_nothing_ends_before_the_longest_stream(overlay: str) -> None:
    deadline = load(ROOT / application(overlay)["args"]["config"]).dispatch.deadline_s
    drain = float(ray_environment(overlay)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert deadline < drain
    for group in groups(overlay).values():
        assert drain < group["template"]["spec"]["terminationGracePeriodSeconds"]
    assert float(ray_environment(overlay)["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > deadline


@every_overlay
def test_a_drained_node_takes_one_pod_of_a_kind_at_a_time(overlay: str) -> None:
    budgets = {
        d["spec"]["selector"]["matchLabels"]["pointsman.dev/group"]
        for d in of_kind(overlay, "PodDisruptionBudget")
    }
    several = {n for n, g in groups(overlay).items() if n != "head" and g["maxReplicas"] > 1}
    assert several <= budgets
    assert budgets <= groups(overlay).keys()
    assert all(d["spec"]["maxUnavailable"] == 1 for d in of_kind(overlay, "PodDisruptionBudget"))
