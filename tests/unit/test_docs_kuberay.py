"""The page from an empty cluster to an answer names what the manifests have: no name in it leads nowhere."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import (
    OVERLAYS,
    ROOT,
    application,
    container,
    documents,
    groups,
    kubectl,
    of_kind,
    service,
)

PAGE = (ROOT / "docs" / "kuberay.md").read_text("utf-8")
JOINED = re.sub(r"\\\n\s+", "", PAGE)
SHELL = "\n".join(re.findall(r"(?m)^(?: {4}| {7})(\S.*)$", JOINED))
COMMANDS = [line for line in SHELL.splitlines() if re.match(r"\(?[a-z]", line)]


def secrets() -> dict[str, set[str]]:
    """Every secret that the page makes, with its keys."""
    made: dict[str, set[str]] = {}
    for name, rest in re.findall(r"(?m)^kubectl create secret generic (\S+)(.*)$", SHELL):
        literals = set(re.findall(r"--from-literal=(\w+)=", rest))
        made[name] = literals | set(re.findall(r"--from-file=(\S+)", rest))
    return made


def test_every_line_is_a_command_that_a_shell_can_read() -> None:
    assert len(COMMANDS) > 20
    assert {re.sub(r"\W", "", shlex.split(line)[0]) for line in COMMANDS} <= {
        *("make", "pointsman", "docker", "helm", "kubectl", "curl", "echo")
    }
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(COMMANDS), text=True, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_kubectl_takes_every_line_that_makes_something(tmp_path: Path) -> None:
    if (command := kubectl()) is None:
        pytest.skip("there is no kubectl here")
    (tmp_path / "keys.yaml").write_text("keys: []\n")
    made = [line for line in COMMANDS if line.startswith("kubectl create ")]
    assert len(made) >= 8
    for line in made:
        words = [command, *shlex.split(line)[1:], "--dry-run=client", "--output=name"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": "/nowhere"}
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_makes_every_secret_that_an_overlay_reads(overlay: str) -> None:
    text = json.dumps(documents(overlay))
    named = set(re.findall(r'"secretName": "([\w-]+)"|"secretRef": {"name": "([\w-]+)"', text))
    named |= set(re.findall(r'"secretKeyRef": {"(?:key": "\w+", ")?name": "([\w-]+)"()', text))
    assert {one or other for one, other in named} <= secrets().keys()
    assert {"pointsman-ray-token", "pointsman-keys"} <= {one or other for one, other in named}


def test_its_secrets_have_the_keys_that_are_read() -> None:
    made = secrets()
    redis = service("gpu-prod")["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    reference = redis["redisPassword"]["valueFrom"]["secretKeyRef"]
    assert made[reference["name"]] == {reference["key"]}
    assert made["pointsman-keys"] == {Path(application("cpu")["args"]["keys_file"]).name}
    assert made["pointsman-ray-token"] == {"auth_token"}  # KubeRay's name for it
    lanes = yaml.safe_load((ROOT / "configs" / "cluster.yaml").read_text())
    wanted = set(re.findall(r"'env': '(\w+)'", str(lanes)))
    assert made["pointsman-provider-keys"] | made["pointsman-state"] == {
        one for one in wanted if not one.endswith("BASE_URL")
    }


def test_its_namespace_job_and_service_are_those_of_the_manifests() -> None:
    for overlay in OVERLAYS:
        (space,), (job,) = of_kind(overlay, "Namespace"), of_kind(overlay, "Job")
        named = {
            "namespace": re.findall(r"kubectl create namespace (\S+)", SHELL),
            "current": re.findall(r"--current --namespace (\S+)", SHELL),
            "doctor": re.findall(r"pointsman doctor --namespace (\w+)", PAGE),
        }
        assert {name for names in named.values() for name in names} == {space["metadata"]["name"]}
        assert re.findall(r"kubectl wait job/(\S+)", SHELL) == [job["metadata"]["name"]]
        assert re.findall(r"kubectl wait rayservice/(\S+)", SHELL) == [service(overlay)["metadata"]["name"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_that_it_asks_is_one_that_kuberay_makes(overlay: str) -> None:
    """KubeRay makes it of the head's port of the name `serve`; with incremental upgrades one to each cluster."""
    ports = {one["name"]: one["containerPort"] for one in container(groups(overlay)["head"])["ports"]}
    assert ports == {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "serve": 8000}
    name = f"{service(overlay)['metadata']['name']}-serve-svc"
    incremental = "Incremental" in service(overlay)["spec"]["upgradeStrategy"]["type"]
    assert incremental == (overlay == "gpu-prod")
    assert f"service/{name} {ports['serve']}:8000" in SHELL
    assert f"no `{name}`" in PAGE
    assert "activeServiceStatus.rayClusterName}')-serve-svc\" 8000:8000" in SHELL


def test_its_images_are_those_of_the_overlays() -> None:
    for file, image in re.findall(r"docker build -f (\S+) -t (\S+) ", SHELL):
        assert (ROOT / file).is_file()
        overlay = yaml.safe_load((ROOT / "k8s" / "overlays" / "cpu" / "kustomization.yaml").read_text())
        (used,) = overlay["images"]
        assert image.endswith(f"/{used['newName']}:{used['newTag']}")
    for overlay in ("gpu-single", "gpu-prod"):
        text = (ROOT / "k8s" / "overlays" / overlay / "kustomization.yaml").read_text()
        (tag,) = re.findall(r"newTag: (\S+?)}", text)
        assert f"`{tag}`" in PAGE
    assert "`Dockerfile.gpu`" in PAGE
    for overlay in re.findall(r"kubectl apply -k k8s/overlays/(\S+)", SHELL):
        assert overlay in OVERLAYS


def test_what_gpu_prod_needs_is_named_as_the_manifests_name_it() -> None:
    cluster = service("gpu-prod")["spec"]
    gateway = cluster["upgradeStrategy"]["clusterUpgradeOptions"]["gatewayClassName"]
    redis = cluster["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisAddress"]
    assert f"`gatewayClassName: {gateway}`" in PAGE
    assert f"kubectl create service externalname {redis.removeprefix('redis://').partition(':')[0]} " in SHELL
    for group in groups("gpu-prod"):
        assert not group.startswith("gpu-") or f"`{group}`" in PAGE
    for claim in of_kind("gpu-prod", "PersistentVolumeClaim"):
        assert f"claim `{claim['metadata']['name']}`" in PAGE
