"""The Serve application of one configuration as KubeRay is told it: which deployment runs in which group of pods.

Knows the names of the groups. Does not know the pods: those are in k8s/.
"""

from pathlib import Path

import yaml
from pydantic import JsonValue

from serve import hot, yaml_file
from serve.config import Config, HttpLane, checked
from serve.ledger.config import inlined

ENVIRONMENTS = {
    "cpu": "configs/cpu.yaml",
    "gpu-single": "configs/gpu-1.yaml",
    "gpu-prod": "configs/cluster.yaml",
}
KEYS_FILE = Path("/etc/pointsman/keys.yaml")
FILE = "serve-config.yaml"
SHARE = 0.01  # of the resource that only one group has; a pod has 1 of it
ROUTER_CPUS, CLOUD_CPUS = 0.5, 0.1

Document = dict[str, JsonValue]


class _Plain(yaml.SafeDumper):
    """Writes what stands twice twice: not every reader of serveConfigV2 knows aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def group_of(config: Config, deployment: str) -> str:
    """The one group of pods that `deployment` may run in. Raises KeyError for an engine that there is not."""
    if deployment in ("Router", "CloudProxy"):
        return {"Router": "core", "CloudProxy": "egress"}[deployment]
    if deployment == "Scout" or deployment.startswith("Encoder-"):
        return "gpu-shared" if config.scout and config.scout.num_gpus else "engine"
    name = deployment.removeprefix("Engine-")
    gpus = config.engines[name].num_gpus
    return "engine" if not gpus else "gpu-shared" if gpus < 1 else f"gpu-{name}"


def serve_config(config: Config, following: Document, path: str) -> Document:
    """Serve's deploy document for `config`, which the image holds at `path`.

    `following` is its hot part, as the file says it: what Router and CloudProxy follow while they run.
    """
    application: Document = {
        "name": "pointsman",
        "route_prefix": "/",
        "import_path": "serve.app:build",
        "args": {"config": path, "keys_file": str(KEYS_FILE)},
        "deployments": _deployments(config, following),
    }
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": 8000},  # noqa: S104 - inside the pod; NetworkPolicies hold the door
        "applications": [application],
    }


def rendered(environment: str, config: Path | None = None) -> str:
    """A Kustomize patch that gives the RayService of one environment its application.

    Made from `config`, or from the file that belongs to the environment. Raises ConfigError for a wrong file,
    KeyError for an unknown environment.
    """
    file = config or Path(ENVIRONMENTS[environment])
    values = inlined(yaml_file.parse(yaml_file.read(file), file), file)
    path = f"configs/{file.name}"
    document = serve_config(checked(values, file), following(values), path)
    own = f" --config {path}" if config else ""
    return _patch(document, f"pointsman render --env {environment}{own} --out k8s/overlays/{environment}")


def following(values: object) -> Document:
    """The hot part of a checked file: its own words, without the defaults, and the switch of every lane."""
    given = values if isinstance(values, dict) else {}
    lanes: list[Document] = [{"enabled": True} | lane for lane in given.get("lanes", ())]
    switches: Document = {
        str(lane["name"]): {key: lane[key] for key in hot.SWITCHES if key in lane} for lane in lanes
    }
    found: Document = {name: given[name] for name in hot.SECTIONS if name in given}
    found["lanes"] = switches
    return found


def _patch(document: Document, command: str) -> str:
    text = yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    block = "".join(f"    {line}\n" for line in text.splitlines())
    return (
        f"# Made by `{command}`. Change the configuration, not this file.\n"
        "apiVersion: ray.io/v1\nkind: RayService\nmetadata:\n  name: pointsman\n"
        f"spec:\n  serveConfigV2: |\n{block}"
    )


def _deployments(config: Config, following: Document) -> list[JsonValue]:
    """Placement, and the hot part for those who follow it. All else is as the configuration says."""
    found: list[JsonValue] = [_deployment(config, "Router", ROUTER_CPUS, user_config=following)]
    if config.scout:
        found.append(_deployment(config, "Scout", config.scout.num_cpus, config.scout.num_gpus))
    if any(isinstance(lane, HttpLane) for lane in config.lanes):
        found.append(_deployment(config, "CloudProxy", CLOUD_CPUS, user_config=following))
    for name, engine in config.engines.items():
        found.append(_deployment(config, f"Engine-{name}", engine.num_cpus, engine.num_gpus))
    found += [_deployment(config, f"Encoder-{one.name}", one.num_cpus) for one in config.encoders]
    return found


def _deployment(
    config: Config, name: str, cpus: float, gpus: float = 0, user_config: Document | None = None
) -> Document:
    options: Document = {"num_cpus": cpus, "resources": {group_of(config, name): SHARE}}
    if gpus:
        options["num_gpus"] = gpus
    entry: Document = {"name": name, "ray_actor_options": options}
    if user_config:
        entry["user_config"] = user_config
    return entry
