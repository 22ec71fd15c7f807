"""What k8s/ applies, against the schemas that will judge it, and against what it was made from."""

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema
from typer.testing import CliRunner

from serve import hot, render
from serve.app import AppArgs, graph
from serve.cli import app as cli
from serve.config import load
from tests.support.manifests import (
    CRD,
    OVERLAYS,
    ROOT,
    application,
    deployed,
    documents,
    groups,
    kubectl,
    mistakes,
    serve_config,
    service,
    unknown_keys,
)

UPGRADES = {"cpu": "NewCluster", "gpu-single": "None", "gpu-prod": "NewClusterWithIncrementalUpgrade"}
KUBERNETES = "1.33"

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
with_crd = pytest.mark.skipif(
    not CRD.is_file(), reason="KubeRay's schema is not in shared/kuberay/ beside the repository"
)


@with_crd
@every_overlay
def test_kuberay_accepts_the_manifest(overlay: str) -> None:
    assert mistakes(service(overlay)) == []


@every_overlay
def test_the_upgrade_strategy_is_one_that_kuberay_knows(overlay: str) -> None:
    assert (
        service(overlay)["spec"]["upgradeStrategy"]["type"] == UPGRADES[overlay]
    )  # a free string in the CRD


@every_overlay
def test_kubernetes_accepts_everything_else(overlay: str) -> None:
    others = [document for document in documents(overlay) if document["kind"] != "RayService"]
    kinds = {document["kind"] for document in others}
    assert {"Namespace", "NetworkPolicy", "PodDisruptionBudget", "Job", "PersistentVolumeClaim"} <= kinds
    for document in others:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_misspelt_key_of_kubernetes_is_reported() -> None:
    policy = copy.deepcopy(next(d for d in documents("cpu") if d["kind"] == "NetworkPolicy"))
    policy["spec"]["podSelectr"] = policy["spec"].pop("podSelector")
    with pytest.raises(kubernetes_validate.ValidationError, match="podSelectr") as caught:
        kubernetes_validate.validate(policy, KUBERNETES, strict=True)
    assert "spec" in caught.value.path


@every_overlay
def test_serve_accepts_the_application(overlay: str) -> None:
    document = serve_config(overlay)
    ServeDeploySchema.model_validate(document)
    assert list(unknown_keys(ServeDeploySchema, document)) == []


@with_crd
def test_a_misspelt_key_is_reported_with_its_path() -> None:
    document = copy.deepcopy(service("cpu"))
    spec = document["spec"]["rayClusterConfig"]["workerGroupSpecs"][1]["template"]["spec"]
    spec["terminationGracePeriodSecond"] = spec.pop("terminationGracePeriodSeconds")
    (found,) = mistakes(document)
    assert found.startswith("spec.rayClusterConfig.workerGroupSpecs[1].template.spec: ")
    assert "'terminationGracePeriodSecond' was unexpected" in found


def test_a_misspelt_serve_key_is_reported_with_its_path() -> None:
    document = copy.deepcopy(serve_config("cpu"))
    document["applications"][0]["deployments"][0]["num_replica"] = 2
    document["http_options"]["prot"] = 8000
    assert list(unknown_keys(ServeDeploySchema, document)) == [
        "http_options.prot",
        "applications.deployments.num_replica",
    ]


@every_overlay
def test_the_overrides_name_every_deployment_of_the_graph(overlay: str) -> None:
    app = application(overlay)
    args = AppArgs.model_validate(app["args"])
    assert app["import_path"] == "serve.app:build"
    names = [entry["name"] for entry in app["deployments"]]
    assert sorted(names) == sorted(deployed(graph(load(ROOT / args.config))))


@every_overlay
def test_what_may_change_while_it_runs_is_the_same_for_router_and_gate(overlay: str) -> None:
    app = application(overlay)
    args = AppArgs.model_validate(app["args"])
    config = load(ROOT / args.config).declared(args.keys_file)
    given = {entry["name"]: entry["user_config"] for entry in app["deployments"] if "user_config" in entry}
    assert given.keys() == {"Router", "CloudProxy"}
    assert given["Router"] == given["CloudProxy"]
    assert hot.applied(config, given["Router"]) == config


# --- made from configurations ----------------------------------------------------------------------------------


@every_overlay
def test_what_is_committed_is_what_render_gives(overlay: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(cli, ["render", "--env", overlay, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    committed = (ROOT / "k8s" / "overlays" / overlay / render.FILE).read_text()
    assert committed == (tmp_path / render.FILE).read_text(), "run `make k8s`"
    patch = yaml.safe_load(committed)
    # Kustomize writes the same text in its own style; what Serve reads is equal.
    assert yaml.safe_load(patch["spec"]["serveConfigV2"]) == serve_config(overlay), "run `make k8s`"


@every_overlay
def test_what_is_committed_is_what_kustomize_gives(overlay: str) -> None:
    if (command := kubectl()) is None:
        pytest.skip(
            "there is no kubectl here: the committed manifests are not compared with a fresh rendering"
        )
    folder = ROOT / "k8s" / "overlays" / overlay
    fresh = subprocess.run([command, "kustomize", str(folder)], capture_output=True, text=True, timeout=300)
    assert fresh.returncode == 0, fresh.stderr
    assert list(yaml.load_all(fresh.stdout, Loader=yaml.CSafeLoader)) == documents(overlay), "run `make k8s`"


@every_overlay
def test_every_file_of_k8s_is_yaml_that_its_overlay_names(overlay: str) -> None:
    for folder in (ROOT / "k8s" / "base", ROOT / "k8s" / "overlays" / overlay):
        named = (folder / "kustomization.yaml").read_text()
        for file in folder.glob("*.yaml"):
            assert list(yaml.safe_load_all(file.read_text()))
            assert file.name == "kustomization.yaml" or file.name in named, file


def test_another_configuration_is_named_by_its_place_in_the_image(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    shutil.copy(ROOT / "configs" / "cpu.yaml", own)
    shutil.copy(ROOT / "configs" / "prices.yaml", tmp_path)
    done = CliRunner().invoke(cli, ["render", "--env", "cpu", "--config", str(own)])
    assert done.exit_code == 0
    patch = yaml.safe_load(done.output)
    (app,) = yaml.safe_load(patch["spec"]["serveConfigV2"])["applications"]
    assert app["args"]["config"] == "configs/own.yaml"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--env", "moon"], "--env must be one of cpu, gpu-single, gpu-prod"),
        (["--env", "cpu", "--out", "/nowhere"], "--out: there is no folder /nowhere"),
        (["--env", "cpu", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_render_says_what_is_wrong(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["render", *arguments])
    assert done.exit_code == 1
    assert said in done.output


@every_overlay
def test_the_job_fetches_what_the_engines_load(overlay: str) -> None:
    (job,) = [document for document in documents(overlay) if document["kind"] == "Job"]
    config, *hub = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert config == application(overlay)["args"]["config"]
    used = [engine.model for engine in load(ROOT / config).engines.values()]
    assert hub == [name for name in used if "/" in name]
    waiting = {
        name for name, group in groups(overlay).items() if "initContainers" in group["template"]["spec"]
    }
    assert waiting == {n for n in groups(overlay) if n.startswith(("engine", "gpu-"))}
