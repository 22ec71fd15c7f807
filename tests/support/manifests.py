"""What k8s/ holds, read for tests, and the schemas that will judge it."""

import functools
import json
import os
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT.parent / "shared" / "kuberay" / "ray.io_rayservices.yaml"
OVERLAYS = ("cpu", "gpu-single", "gpu-prod")

Document = dict[str, Any]


@functools.cache
def documents(overlay: str) -> list[Document]:
    """Everything that one overlay applies, as it is committed. All tests read the same: copy what you change."""
    text = (ROOT / "k8s" / "rendered" / f"{overlay}.yaml").read_text()
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def of_kind(overlay: str, kind: str) -> list[Document]:
    """The documents of one kind, in their order."""
    return [document for document in documents(overlay) if document["kind"] == kind]


def service(overlay: str) -> Document:
    """The RayService."""
    (found,) = of_kind(overlay, "RayService")
    return found


@functools.cache
def serve_config(overlay: str) -> Document:
    """The document that KubeRay hands to Serve. All tests read the same: copy what you change."""
    text = service(overlay)["spec"]["serveConfigV2"]
    document: Document = yaml.load(text, Loader=yaml.CSafeLoader)
    return document


def application(overlay: str) -> Document:
    """The one application in it."""
    (found,) = serve_config(overlay)["applications"]
    return typing.cast(Document, found)


def groups(overlay: str) -> dict[str, Document]:
    """Every group of Ray's pods by name."""
    cluster = service(overlay)["spec"]["rayClusterConfig"]
    return {"head": cluster["headGroupSpec"]} | {g["groupName"]: g for g in cluster["workerGroupSpecs"]}


def container(group: Document) -> Document:
    """Ray's own container of a group."""
    (only,) = group["template"]["spec"]["containers"]
    return typing.cast(Document, only)


def resources(group: Document) -> set[str]:
    """The custom resources of one pod."""
    # KubeRay pastes the value into a shell command: it is JSON inside one more pair of quotes.
    return set(json.loads(json.loads(group["rayStartParams"].get("resources", '"{}"'))))


def kubectl() -> str | None:
    """Where kubectl is, None where there is none."""
    return os.environ.get("POINTSMAN_KUBECTL") or shutil.which("kubectl")


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


@functools.cache
def kuberay() -> jsonschema_rs.Draft202012Validator:
    """KubeRay's schema of a RayService. Raises FileNotFoundError where it is not beside the repository."""
    versions = yaml.load(CRD.read_text(), Loader=yaml.CSafeLoader)["spec"]["versions"]
    schema = strict(next(v for v in versions if v["name"] == "v1")["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema_rs.Draft202012Validator(schema)


def mistakes(document: Document) -> list[str]:
    """What KubeRay would say against a RayService, each with its path."""
    return [f"{where(error.instance_path)}: {error.message}" for error in kuberay().iter_errors(document)]


def where(path: list[str | int]) -> str:
    """`spec.workers[1].name`."""
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
    """The pydantic models inside a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


def deployed(application: Any) -> dict[str, Any]:
    """Every deployment of a Serve graph by name."""
    deployment = application._bound_deployment
    found = {deployment.name: deployment}
    for argument in (*deployment.init_args, *deployment.init_kwargs.values()):
        parts = argument.values() if isinstance(argument, dict) else [argument]
        for part in parts:
            if hasattr(part, "_bound_deployment"):
                found |= deployed(part)
    return found
