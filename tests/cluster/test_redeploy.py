"""`serve deploy` and `pointsman reload`: a declared application follows a changed `user_config` with its processes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import yaml

from serve.config import load
from serve.up import environment, free_ports
from tests.cluster.conftest import ROOT, wait_for
from tests.support.upstream import ThreadedUpstream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

HEAD = """
import signal, sys, ray
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ray.init(num_cpus=8, include_dashboard=True, dashboard_host="127.0.0.1", dashboard_port=int(sys.argv[1]),
         _node_ip_address="127.0.0.1", log_to_driver=False, object_store_memory=256 << 20)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    signal.pause()
"""


@contextmanager
def head(dashboard: int, env: dict[str, str]) -> Iterator[int]:
    """A Ray head with a dashboard in a process of its own; its pid."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD, str(dashboard)], cwd=ROOT, env=env, stdout=log, stderr=log
        )
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{dashboard}/api/version"), 120, "Ray's dashboard")
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            log.seek(0)
            print(log.read().decode()[-3000:])


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def replicas(pid: int) -> set[int]:
    titles = {p.pid: " ".join(p.cmdline()) for p in psutil.Process(pid).children(recursive=True)}
    return {pid for pid, title in titles.items() if title.startswith("ray::") and "pointsman#" in title} | {
        pid for pid, title in titles.items() if title.startswith("ray::ServeReplica:pointsman")
    }


def run(env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )


def test_a_declared_application_follows_without_a_restart(tmp_path: Path) -> None:
    path, deploy = tmp_path / "pointsman.yaml", tmp_path / "serve.yaml"
    raw: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "laptop-ollama.yaml").read_text())
    raw["prices"] = {}  # the file of them stands beside the original
    path.write_text(yaml.safe_dump(raw))
    dashboard, port = free_ports(2)
    document: dict[str, Any] = {
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": [
            {
                "name": "pointsman",
                "route_prefix": "/",
                "import_path": "serve.app:build",
                "args": {"config": str(path)},
                "deployments": [{"name": "Router", "max_ongoing_requests": 64}],
            }
        ],
    }
    deploy.write_text(json.dumps(document))
    address, url = f"http://127.0.0.1:{dashboard}", f"http://127.0.0.1:{port}"

    def version() -> str:
        return str(httpx2.get(f"{url}/readyz", trust_env=False, timeout=10).json()["policy_version"])

    with ThreadedUpstream() as local:
        env = os.environ | environment(proxy="plain")
        env |= {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", "LOCAL_BASE_URL": f"{local.url}/v1"}
        with head(dashboard, env) as pid:
            tool = str(Path(sys.executable).with_name("serve"))
            done = run(env, tool, "deploy", str(deploy), "--address", address)
            assert done.returncode == 0, done.stderr
            wait_for(lambda: answers(f"{url}/readyz"), 120, "the application")
            before, first = replicas(pid), version()
            assert len(before) == 2
            assert first == load(path).declared().version

            raw["lanes"][0]["enabled"] = False
            path.write_text(yaml.safe_dump(raw))
            done = run(env, "-m", "serve.cli", "reload", "--config", str(path), "--address", address)
            assert done.returncode == 0, done.stdout + done.stderr
            wait_for(lambda: version() == load(path).declared().version, 30, "the new policy")

            document["applications"][0]["deployments"] = [
                {"name": name, "user_config": {"lanes": {"local-general": {"enabled": True}}}}
                for name in ("Router", "CloudProxy")
            ]
            deploy.write_text(json.dumps(document))
            done = run(env, tool, "deploy", str(deploy), "--address", address)
            assert done.returncode == 0, done.stderr
            wait_for(lambda: version() == first, 30, "the first policy")

            raw["lanes"][0]["model"] = "another"
            path.write_text(yaml.safe_dump(raw))
            done = run(env, "-m", "serve.cli", "reload", "--config", str(path), "--address", address)
            wait_for(
                lambda: (
                    httpx2.get(f"{url}/readyz", trust_env=False, timeout=10).json()["reload_refused"]
                    or done.returncode != 0
                ),
                30,
                "the refusal",
            )
            assert version() == first
            assert replicas(pid) == before
