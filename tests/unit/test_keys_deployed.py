"""Where keys are asked for: never open to a network, whatever starts the graph."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from serve.app import AppArgs, build
from serve.config import Config, load
from serve.errors import ConfigError
from serve.up import describe
from tests.support.manifests import OVERLAYS, application, groups
from tests.support.shipped import SHIPPED

ROOT = Path(__file__).parents[2]


def written(tmp_path: Path, **changes: Any) -> Path:
    raw = yaml.safe_load((ROOT / "configs" / "laptop-ollama.yaml").read_text()) | {"prices": {}}
    path = tmp_path / "config.yaml"
    path.write_text(
        yaml.safe_dump({key: value for key, value in (raw | changes).items() if value is not None})
    )
    return path


def built(args: AppArgs) -> Config:
    config: Config = build(args)._bound_deployment.init_args[0]
    return config


def test_keys_are_required_where_a_file_says_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path, keys=None)).keys.mode == "required"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org"])  # noqa: S104 - refused
def test_open_mode_is_refused_off_loopback(tmp_path: Path, host: str) -> None:
    path = written(tmp_path, server={"host": host})
    with pytest.raises(ConfigError, match=r"keys\.mode: open .* loopback"):
        load(path)
    assert load(written(tmp_path, server={"host": host}, keys=None)).keys.mode == "required"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_configuration_is_open_on_loopback_only(path: Path) -> None:
    config = load(path)
    assert config.keys.mode == "required" or config.server.host == "127.0.0.1"
    assert (config.keys.mode == "open") == (path.name in ("cpu.yaml", "laptop-ollama.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_serves_own_commands_always_ask_for_keys(path: Path) -> None:
    assert built(AppArgs(config=str(path))).keys.mode == "required"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_on_kubernetes_keys_are_required_and_come_from_the_mounted_secret(overlay: str) -> None:
    app = application(overlay)
    config = built(AppArgs.model_validate(app["args"] | {"config": str(ROOT / app["args"]["config"])}))
    assert config.keys.mode == "required"
    assert config.keys.file is not None
    core = groups(overlay)["core"]["template"]["spec"]
    (mount,) = core["containers"][0]["volumeMounts"]
    assert Path(mount["mountPath"]) == config.keys.file.parent
    assert core["volumes"] == [
        {"name": mount["name"], "secret": {"secretName": "pointsman-keys", "optional": True}}
    ]


@pytest.mark.parametrize(
    ("mode", "told"), [("open", "OPEN: no key is asked for"), ("required", "keys create")]
)
def test_pointsman_up_says_loudly_whether_it_is_open(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, mode: str, told: str
) -> None:
    describe(load(written(tmp_path, keys={"mode": mode})), "http://127.0.0.1:1", Console())
    shown = capsys.readouterr().out
    assert told in shown
    assert ("$POINTSMAN_API_KEY" in shown) == (mode == "required")
