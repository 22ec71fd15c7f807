"""The command that Serve starts as HAProxy."""

import subprocess
from pathlib import Path

import pytest
import yaml

from serve import haproxy
from serve.up import environment

ROOT = Path(__file__).parents[2]
CONFIG = """\
defaults
    mode http
    timeout client 1s
    timeout server 1s
    timeout connect 1s
    option splice-request
frontend f
    bind 127.0.0.1:1
    http-request return status 204
"""

pytestmark = pytest.mark.skipif(
    not Path(haproxy.path()).is_file(), reason="the project is not installed here: make setup installs it"
)


def test_it_is_haproxy(tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text(CONFIG)
    command = [haproxy.path(), "-V", "-c", "-f", str(tmp_path / "haproxy.cfg")]
    # Ray's variable names this very command: it must not call itself.
    checked = subprocess.run(
        command, env=environment(proxy="haproxy"), capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "Configuration file is valid" in checked.stdout + checked.stderr


def test_splice_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[str] = []
    monkeypatch.setattr("os.execv", lambda _binary, arguments: became.extend(arguments))
    monkeypatch.setattr("sys.argv", [haproxy.NAME, "-db", "-f", "haproxy.cfg"])
    haproxy.main()
    assert became[1:] == ["-dS", "-db", "-f", "haproxy.cfg"]


def test_the_plain_proxy_needs_none() -> None:
    assert "RAY_SERVE_HAPROXY_BINARY_PATH" not in environment(proxy="serve")
    assert environment(proxy="haproxy")["RAY_SERVE_HAPROXY_BINARY_PATH"] == haproxy.path()


def test_on_a_cluster_it_is_the_one_of_the_image() -> None:
    manifest = (ROOT / "k8s" / "rayservice.yaml").read_text()
    assert yaml.safe_load(manifest)
    assert f"/opt/pointsman/.venv/bin/{haproxy.NAME}" in manifest
