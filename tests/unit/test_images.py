"""The Dockerfiles: pinned, unprivileged, without secrets and weights, installed from the lock files."""

import re

import pytest

from tests.support.manifests import ROOT, of_kind

FILES = ("Dockerfile.cpu", "Dockerfile.gpu")

every_file = pytest.mark.parametrize("name", FILES)


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, rest) of every line, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "k8s" / name).read_text()).replace("\\\n", " ")
    return [(word, rest) for line in text.splitlines() if line for word, _, rest in [line.partition(" ")]]


@every_file
def test_the_base_is_one_exact_version(name: str) -> None:
    (base,) = [rest for word, rest in instructions(name) if word == "FROM"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)


@every_file
def test_it_ends_as_a_user_that_the_pods_run_as(name: str) -> None:
    word, user = instructions(name)[-1]
    (job,) = of_kind("cpu", "Job")
    assert (word, user) == ("USER", str(job["spec"]["template"]["spec"]["securityContext"]["runAsUser"]))


@every_file
def test_it_copies_no_more_than_the_product(name: str) -> None:
    copied = [rest.split()[0] for word, rest in instructions(name) if word in ("COPY", "ADD")]
    assert copied == ["pyproject.toml", "configs", "models", "serve"]
    ignored = (ROOT / "k8s" / f"{name}.dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == set(copied)


@every_file
def test_it_holds_no_secret_and_no_weights(name: str) -> None:
    text = (ROOT / "k8s" / name).read_text()
    assert not re.search(r"(?i)api_key|password|token|secret", text)
    assert "models fetch" not in text
    assert not any(word == "ARG" for word, _ in instructions(name))


@every_file
def test_every_package_comes_from_the_lock_files(name: str) -> None:
    runs = [rest for word, rest in instructions(name) if word == "RUN"]
    assert not any(re.search(r"\bpip3? install\b|curl|wget|git clone", run) for run in runs)
    profile = name.removeprefix("Dockerfile.")
    assert [run for run in runs if "install.py --profile" in run or "pip_steps.install" in run]
    assert any(profile in run for run in runs)
