"""What an accepted configuration promises: its version, its references, and that it never changes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from serve.config import ON_PREMISES, EnvRef, FileRef, HttpLane, load
from serve.signals.readings import Sensitivity
from tests.support.shipped import SHIPPED
from tests.unit.test_config import GOOD, changed, written

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("value", "default", "found"),
    [
        ("x", None, "x"),
        ("x", "d", "x"),
        ("", "d", "d"),
        ("", None, None),
        (None, "d", "d"),
        (None, None, None),
    ],
)
def test_an_environment_reference_is_the_variable_or_its_default(
    monkeypatch: pytest.MonkeyPatch, value: str | None, default: str | None, found: str | None
) -> None:
    monkeypatch.delenv("POINTSMAN_TEST_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("POINTSMAN_TEST_KEY", value)
    assert EnvRef(env="POINTSMAN_TEST_KEY", default=default).resolve() == found


def test_a_file_reference_is_the_stripped_content_or_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    assert FileRef(file=secret).resolve() is None
    secret.write_text("  sk-1\n")
    assert FileRef(file=secret).resolve() == "sk-1"


def cloud(**changes: Any) -> HttpLane:
    return HttpLane.model_validate(GOOD["lanes"][2] | changes)


def test_a_lane_says_what_it_lacks_and_works_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("POINTSMAN_TEST_KEY", raising=False)
    monkeypatch.delenv("POINTSMAN_TEST_URL", raising=False)
    secret = tmp_path / "key"
    nowhere = cloud(base_url={"env": "POINTSMAN_TEST_URL"})
    assert cloud().off_because == "no key: set POINTSMAN_TEST_KEY"
    assert cloud(api_key={"file": str(secret)}).off_because == f"no key: set {secret}"
    assert nowhere.off_because == "no address: set POINTSMAN_TEST_URL"
    assert cloud(api_key=None).off_because is None
    monkeypatch.setenv("POINTSMAN_TEST_KEY", "sk-1")
    monkeypatch.setenv("POINTSMAN_TEST_URL", "https://api.example")
    secret.write_text("sk-1")
    assert [cloud().off_because, nowhere.off_because, cloud(api_key={"file": str(secret)}).off_because] == [
        None
    ] * 3


def test_a_device_lane_may_not_get_an_address_elsewhere_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POINTSMAN_TEST_URL", "http://10.0.0.1/v1")
    with pytest.raises(ValidationError, match="not this machine"):
        cloud(kind="openai", location="device", base_url={"env": "POINTSMAN_TEST_URL"})


# The version, and what it is made of.


def test_the_version_changes_with_every_rule_and_with_nothing_else(tmp_path: Path) -> None:
    first = load(written(tmp_path, GOOD)).version
    assert load(written(tmp_path, GOOD)).version == first
    changes: list[Callable[[], dict[str, Any]]] = [
        lambda: changed("policy", "rules", 0, "when", "input_tokens_over", to=10),
        lambda: changed("policy", "rules", 0, "prefer", to=["local"]),
        lambda: changed("policy", "rules", 0, "because", to="it is longer"),
        lambda: changed("policy", "locations", "internal", to=["device"]),
        lambda: changed("lanes", 0, "tier", to=2),
    ]
    versions = {load(written(tmp_path, change())).version for change in changes}
    assert len(versions | {first}) == len(changes) + 1


def test_the_version_does_not_depend_on_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    monkeypatch.setenv("POINTSMAN_TEST_KEY", "sk-canary-1")
    first = load(path)
    assert "sk-canary" not in first.model_dump_json() + repr(first)
    monkeypatch.setenv("POINTSMAN_TEST_KEY", "sk-canary-2")
    assert load(path).version == first.version


def test_the_version_is_the_same_in_every_process(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    ask = "import sys; from serve.config import load; print(load(sys.argv[1]).version)"
    versions = {
        subprocess.run(
            [sys.executable, "-c", ask, str(path)],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
        for seed in ("1", "2", "3", "4")
    }  # fmt: skip
    assert len(versions) == 1


def test_a_loaded_configuration_cannot_be_changed(tmp_path: Path) -> None:
    settings = load(written(tmp_path, GOOD))
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "path",
    SHIPPED,
    ids=lambda path: path.stem,
)
def test_every_file_we_ship_loads_and_keeps_secrets_here(path: Path) -> None:
    settings = load(path)
    assert settings.policy.permits(Sensitivity.CONFIDENTIAL) <= {"device", "private"}
    assert any(lane.location in ON_PREMISES for lane in settings.lanes)
    assert load(path) == settings
    assert json.loads(settings.model_dump_json())
