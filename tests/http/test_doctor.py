"""`pointsman doctor` against a Pointsman that serves, and by the real kubectl against a loopback API server."""

import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from serve.doctor import configured, deployment, kubernetes
from serve.doctor.finding import Finding, failed
from serve.up import free_ports
from tests.support.manifests import documents, kubectl
from tests.support.serving import config, serving
from tests.support.upstream import ThreadedUpstream


def by_check(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


@contextmanager
def answering(answers: dict[str, Any], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A loopback server of JSON documents by path; what it does not know is 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(found if found is not None else {"message": "no such thing"}).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test's own output is enough."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(30)


# --- a running Pointsman -----------------------------------------------------------------------------------------


def test_a_healthy_one_has_nothing_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POINTSMAN_API_KEY", raising=False)
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        with serving(config(local.url, cloud.url)) as url:
            found = by_check(deployment.look(url))
            port = int(url.rpartition(":")[2])
            taken = configured.port(config(local.url, cloud.url, server={"port": port}))
        sent = [*local.requests, *cloud.requests]
    assert not failed(found.values()), found
    assert found["lane local-general"].said == "ready, device"
    assert found["keys"].said == "mode open, on loopback"
    assert {"tls", "healthz", "clock", "audit", "ledger", "outcomes"} <= found.keys()
    assert (taken.status, taken.todo) == ("warn", f"look at it: pointsman doctor --url {url}")
    assert sent == [], "it asks no model"


def test_one_that_wants_keys_is_asked_with_and_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("POINTSMAN_API_KEY", "pm-no-such-key")
    with ThreadedUpstream() as up, serving(config(up.url, up.url, keys={"mode": "required"})) as url:
        found = by_check(deployment.look(url))
    assert found["keys"].said == "mode required: who has no key gets 401"
    assert found["your key"].status == "fail"
    assert "pm-no-such-key" not in repr(found)


def test_what_readyz_complains_about_is_said_with_a_remedy() -> None:
    told = {
        "lanes": {
            "a": {"state": "down", "note": "engine small is unhealthy", "location": "device"},
            "b": {"state": "off", "note": "no key: set OPENAI_API_KEY", "location": "global"},
        },
        "audit": {"state": "failing", "why": "OperationalError", "lost": 0},
        "ledger": {"state": "up", "note": None},
        "outcomes": {"state": "up", "note": None, "lost": 3},
        "reload_refused": "policy.rules.0: wrong",
    }
    found = by_check(deployment.readiness(told, 503))
    assert {check: finding.status for check, finding in found.items()} == {
        "readyz": "fail",
        "lane a": "warn",
        "lane b": "warn",
        "audit": "fail",
        "ledger": "ok",
        "outcomes": "warn",
        "reload": "warn",
    }
    assert all(finding.todo for finding in found.values() if finding.status != "ok")


def test_nothing_there_or_something_else() -> None:
    (port,) = free_ports(1)
    assert by_check(deployment.look(f"http://127.0.0.1:{port}"))["healthz"].status == "fail"
    with answering({"/healthz": {"hello": "world"}}) as url:
        assert by_check(deployment.look(url))["healthz"].said.endswith("is no Pointsman")


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "5",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    except FileNotFoundError:
        pytest.skip("there is no openssl here to make a certificate")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with answering({"/healthz": {"version": "0"}, "/readyz": {}}, tls) as url:
        assert by_check(deployment.look(url))["tls"].said.startswith("its certificate is not trusted")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        soon = by_check(deployment.look(url))["tls"]
    assert (soon.status, soon.todo) == ("warn", "renew it")


# --- a cluster ---------------------------------------------------------------------------------------------------

CORE, RAY, NET = (
    "/api/v1/namespaces/pm",
    "/apis/ray.io/v1/namespaces/pm",
    "/apis/networking.k8s.io/v1/namespaces/pm",
)


@contextmanager
def cluster(answers: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """kubectl talks to a loopback server that lists `answers`."""
    if (command := kubectl()) is None:
        pytest.skip("there is no kubectl here")
    listed = {path: {"kind": "List", "apiVersion": "v1", "items": items} for path, items in answers.items()}
    with answering(listed) as url:
        file = folder / "kubeconfig.json"
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "it", "cluster": {"server": url}}],
                    "contexts": [{"name": "it", "context": {"cluster": "it", "user": ""}}],
                    "current-context": "it",
                }
            )
        )
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.setenv("PATH", f"{Path(command).parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}} | more


def pod(name: str, **status: Any) -> dict[str, Any]:
    return named(name, status={"phase": "Running"} | status)


READY = named(
    "pointsman",
    status={
        "conditions": [{"type": "Ready", "status": "True"}],
        "activeServiceStatus": {"applicationStatuses": {"pointsman": {"status": "RUNNING"}}},
    },
)


def test_a_cluster_that_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        f"{RAY}/rayservices": [READY],
        f"{CORE}/pods": [pod("head", containerStatuses=[{"name": "ray", "ready": True, "restartCount": 0}])],
        f"{NET}/networkpolicies": [named(name) for name in kubernetes.POLICIES],
        f"{CORE}/persistentvolumeclaims": [named("pointsman-models", status={"phase": "Bound"})],
    }
    with cluster(answers, tmp_path, monkeypatch):
        found = by_check(kubernetes.look("pm"))
    assert {finding.status for finding in found.values()} == {"ok"}, found
    assert found["application pointsman"].said == "RUNNING"


def test_a_cluster_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = named("late", status={"conditions": [{"type": "Ready", "status": "False", "message": "no head"}]})
    pulling = [{"name": "ray", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    restarted = [{"name": "ray", "ready": True, "restartCount": 7}]
    pending = [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes have nvidia.com/gpu"}]
    answers = {
        f"{RAY}/rayservices": [late],
        f"{CORE}/pods": [
            pod("well"),
            pod("pulling", phase="Pending", containerStatuses=pulling),
            pod("restarted", containerStatuses=restarted),
            pod("pending", phase="Pending", conditions=pending),
        ],
        f"{NET}/networkpolicies": [named(name) for name in kubernetes.POLICIES - {"pointsman-egress"}],
        f"{CORE}/persistentvolumeclaims": [named("weights", status={"phase": "Pending"})],
    }
    with cluster(answers, tmp_path, monkeypatch):
        found = by_check(kubernetes.look("pm"))
    assert found["rayservice late"].said == "not ready: no head"
    assert found["pod pulling"].said == "Pending, ImagePullBackOff"
    assert found["pod restarted"].status == "warn"
    assert found["pod pending"].said.endswith("0/3 nodes have nvidia.com/gpu")
    assert found["network policies"].said == "missing: pointsman-egress"
    assert found["volume weights"].status == "fail"
    assert found["pods"].said == "1 of 4 are well"


def test_no_kuberay_and_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster({}, tmp_path, monkeypatch):
        found = by_check(kubernetes.look("pm"))
    assert {finding.status for finding in found.values()} == {"fail"}
    assert "KubeRay" in found["rayservice"].todo
    monkeypatch.setenv("PATH", "/nowhere")
    (absent,) = kubernetes.look("pm")
    assert absent.check == "kubectl"


def test_a_cluster_out_of_reach_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster({}, tmp_path, monkeypatch):
        pass  # and its server is gone
    (found,) = kubernetes.look("pm")
    assert (found.check, found.status) == ("cluster", "fail")
    assert "kubectl config current-context" in found.todo


@pytest.mark.parametrize("overlay", ["cpu", "gpu-single", "gpu-prod"])
def test_the_policies_it_looks_for_are_those_that_are_applied(overlay: str) -> None:
    applied = {d["metadata"]["name"] for d in documents(overlay) if d["kind"] == "NetworkPolicy"}
    assert applied >= kubernetes.POLICIES
