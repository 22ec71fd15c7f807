"""What is deployed: k8s/rayservice.yaml and every file in configs/, against the schemas that will judge them."""

import copy
import dataclasses
import importlib.util
import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

from serve import hot
from serve.app import AppArgs, graph
from serve.config import Config, load

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT.parent / "shared" / "kuberay" / "ray.io_rayservices.yaml"
CONFIGS = sorted({*(ROOT / "configs").glob("*.yaml")} - {ROOT / "configs" / "prices.yaml"})
PROVIDER_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "pointsman-provider-keys")
UPGRADES = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")

Document = dict[str, Any]


@pytest.fixture
def service() -> Document:
    document: Document = yaml.safe_load((ROOT / "k8s" / "rayservice.yaml").read_text())
    return copy.deepcopy(document)  # YAML aliases share objects: a change must stay in one place


@pytest.fixture
def app(service: Document) -> Document:
    found: Document = serve_config(service)["applications"][0]
    return found


@pytest.fixture
def config(app: Document) -> Config:
    return load(ROOT / app["args"]["config"])


def serve_config(service: Document) -> Document:
    document: Document = yaml.safe_load(service["spec"]["serveConfigV2"])
    return document


def groups(service: Document) -> dict[str, Document]:
    cluster = service["spec"]["rayClusterConfig"]
    return {"head": cluster["headGroupSpec"]} | {g["groupName"]: g for g in cluster["workerGroupSpecs"]}


def container(group: Document) -> Document:
    (only,) = group["template"]["spec"]["containers"]
    return typing.cast(Document, only)


def resources(group: Document) -> set[str]:
    # KubeRay pastes the value into a shell command: it is JSON inside one more pair of quotes.
    return set(json.loads(json.loads(group["rayStartParams"].get("resources", '"{}"'))))


# --- schemas ---------------------------------------------------------------------------------------------------


def strict(schema: Any) -> Any:
    """Kubernetes' structural schema as a JSON schema that knows no other keys than its own."""
    if not isinstance(schema, dict):
        return schema
    schema = dict(schema)
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("anyOf", None)
        schema["type"] = ["integer", "string"]
    if schema.pop("nullable", False) and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    if "properties" in schema:
        named = schema["properties"] = {key: strict(value) for key, value in schema["properties"].items()}
        # The API server fills in defaults before it validates.
        schema["required"] = [k for k in schema.get("required", []) if "default" not in named.get(k, {})]
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        schema[key] = strict(schema[key]) if key in schema else None
    return {key: value for key, value in schema.items() if value is not None}


@pytest.fixture(scope="module")
def crd() -> jsonschema_rs.Draft202012Validator:
    if not CRD.is_file():
        pytest.skip(
            f"KubeRay's CRD is not in {CRD.parent.name}/ beside the repository: the manifest is not checked"
        )
    versions = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    schema = strict(next(v for v in versions if v["name"] == "v1")["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema_rs.Draft202012Validator(schema)


def mistakes(crd: jsonschema_rs.Draft202012Validator, service: Document) -> list[str]:
    return [f"{where(error.instance_path)}: {error.message}" for error in crd.iter_errors(service)]


def where(path: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def unknown_keys(model: type[BaseModel], data: Document, path: str = "") -> Iterator[str]:
    """ServeDeploySchema accepts unknown keys at every level; this reports them."""
    for key, value in data.items():
        field = model.model_fields.get(key)
        if field is None:
            yield f"{path}{key}"
            continue
        inner = next(models_in(field.annotation), None)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict) and inner is not None:
                yield from unknown_keys(inner, part, f"{path}{key}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


def test_kuberay_accepts_the_manifest(crd: jsonschema_rs.Draft202012Validator, service: Document) -> None:
    assert mistakes(crd, service) == []
    assert service["spec"]["upgradeStrategy"]["type"] in UPGRADES  # a free string in the CRD


def test_serve_accepts_the_application(service: Document) -> None:
    document = serve_config(service)
    ServeDeploySchema.model_validate(document)
    assert list(unknown_keys(ServeDeploySchema, document)) == []


def test_a_misspelt_key_is_reported_with_its_path(
    crd: jsonschema_rs.Draft202012Validator, service: Document
) -> None:
    spec = groups(service)["egress"]["template"]["spec"]
    spec["terminationGracePeriodSecond"] = spec.pop("terminationGracePeriodSeconds")
    (found,) = mistakes(crd, service)
    assert found.startswith("spec.rayClusterConfig.workerGroupSpecs[1].template.spec: ")
    assert "'terminationGracePeriodSecond' was unexpected" in found


def test_a_misspelt_serve_key_is_reported_with_its_path(service: Document) -> None:
    document = serve_config(service)
    document["applications"][0]["deployments"][0]["num_replica"] = 2
    document["http_options"]["prot"] = 8000
    assert list(unknown_keys(ServeDeploySchema, document)) == [
        "http_options.prot",
        "applications.deployments.num_replica",
    ]


# --- the graph -------------------------------------------------------------------------------------------------


def deployed(application: Any) -> dict[str, Any]:
    """Every deployment of the graph by name."""
    deployment = application._bound_deployment
    found = {deployment.name: deployment}
    for argument in (*deployment.init_args, *deployment.init_kwargs.values()):
        parts = argument.values() if isinstance(argument, dict) else [argument]
        for part in parts:
            if hasattr(part, "_bound_deployment"):
                found |= deployed(part)
    return found


def test_the_overrides_name_every_deployment_of_the_graph(app: Document, config: Config) -> None:
    AppArgs.model_validate(app["args"])
    assert app["import_path"] == "serve.app:build"
    names = [entry["name"] for entry in app["deployments"]]
    assert sorted(names) == sorted(deployed(graph(config)))


def test_what_may_change_while_it_runs_is_the_same_for_router_and_gate(app: Document, config: Config) -> None:
    given = {entry["name"]: entry["user_config"] for entry in app["deployments"] if "user_config" in entry}
    assert given.keys() == {"Router", "CloudProxy"}
    assert given["Router"] == given["CloudProxy"]
    assert hot.applied(config, given["Router"]) == config


def test_each_deployment_fits_into_one_group_and_no_other(service: Document, app: Document) -> None:
    homes = {"Router": "core", "Scout": "core", "CloudProxy": "egress", "Engine-small": "engine"}
    for entry in app["deployments"]:
        (wanted,) = entry["ray_actor_options"]["resources"]
        places = [name for name, group in groups(service).items() if wanted in resources(group)]
        assert places == [homes[entry["name"]]]
    assert groups(service)["head"]["rayStartParams"]["num-cpus"] == "0"


def test_only_egress_pods_know_provider_keys(service: Document) -> None:
    holders = {n for n, g in groups(service).items() if any(key in json.dumps(g) for key in PROVIDER_KEYS)}
    assert holders == {"egress"}
    assert not any(key in service["spec"]["serveConfigV2"] for key in PROVIDER_KEYS)


def test_only_egress_pods_may_leave_the_cluster(service: Document) -> None:
    policy = service["spec"]["rayClusterConfig"]["networkPolicy"]
    assert policy["mode"] in ("DenyAll", "DenyAllEgress")
    ways_out = {entry["groupName"]: entry["egressRules"] for entry in policy["workerGroups"]}
    ways_out |= {name: policy[name]["egressRules"] for name in ("head", "worker")}
    outside = {name for name, rules in ways_out.items() if "ipBlock" in json.dumps(rules)}
    assert outside == {"egress"}


def test_every_pod_runs_unprivileged_with_the_same_knobs(service: Document) -> None:
    every = groups(service).values()
    knobs = [container(group)["env"] for group in every]
    assert all(env == knobs[0] for env in knobs)
    for group in every:
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
        assert container(group)["securityContext"]["allowPrivilegeEscalation"] is False
        assert {"requests", "limits"} == container(group)["resources"].keys()
        assert {"readinessProbe", "livenessProbe"} <= container(group).keys()
        assert {"name": "RAY_SERVE_LOG_TO_STDERR", "value": "1"} in container(group)["env"]


def test_nothing_ends_before_the_longest_stream(service: Document, app: Document, config: Config) -> None:
    env = {item["name"]: item["value"] for item in container(groups(service)["core"])["env"]}
    shutdowns = [e["graceful_shutdown_timeout_s"] for e in app["deployments"] if e["name"] != "Scout"]
    drain = float(env["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert config.dispatch.deadline_s < min(shutdowns)
    assert config.dispatch.deadline_s < drain
    for group in groups(service).values():
        assert max(*shutdowns, drain) < group["template"]["spec"]["terminationGracePeriodSeconds"]
    assert float(env["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > config.dispatch.deadline_s


# --- configurations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    config = load(path)
    assert bool(config.engines) == (config.profile != "core")
    assert deployed(graph(config)).keys() >= {f"Engine-{name}" for name in config.engines}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_engine_options_are_options_of_vllm(path: Path) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: the options of engines are not checked")
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import FrontendArgs

    known = {field.name for kind in (AsyncEngineArgs, FrontendArgs) for field in dataclasses.fields(kind)}
    for name, engine in load(path).engines.items():
        assert engine.vllm.keys() <= known, name


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if p.name.startswith("gpu-1")], ids=lambda path: path.name
)
def test_everything_fits_on_one_gpu_at_full_scale(path: Path) -> None:
    config = load(path)
    shares, memory = [], []
    for engine in config.engines.values():
        copies = engine.autoscaling.max_replicas if engine.autoscaling else 1
        shares.append(engine.num_gpus * copies)
        memory.append(typing.cast(float, engine.vllm["gpu_memory_utilization"]) * copies)
    scout = config.scout.num_gpus * config.scout.most_replicas if config.scout else 0
    assert 0 < sum(shares) + scout <= 1
    assert sum(memory) + scout <= 1
