"""The command that Serve starts as HAProxy."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import jinja2
import psutil
import pytest

from serve import haproxy
from serve.up import environment, free_ports

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


def test_splice_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[str] = []
    monkeypatch.setattr("os.execv", lambda _binary, arguments: became.extend(arguments))
    (file := tmp_path / "haproxy.cfg").write_text(CONFIG)
    monkeypatch.setattr("sys.argv", [haproxy.NAME, "-db", "-f", str(file)])
    haproxy.main()
    assert became[1:] == ["-dS", "-db", "-f", str(file)]


def test_serves_own_template_has_the_section_and_not_the_timeout(tmp_path: Path) -> None:
    from ray.serve._private.haproxy import HAProxyConfig
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

    file = tmp_path / "haproxy.cfg"
    templates = jinja2.Environment(undefined=jinja2.ChainableUndefined)  # noqa: S701 - it is no HTML
    templates.filters["haproxy_fmt"] = str
    file.write_text(
        templates.from_string(HAPROXY_CONFIG_TEMPLATE).render(config=HAProxyConfig(), backends=[])
    )
    assert "timeout http-request" not in file.read_text()
    haproxy.complete(file, 30)
    assert "\ndefaults\n    timeout http-request 30s\n    timeout http-keep-alive 90s\n" in file.read_text()


def test_a_timeout_that_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text("defaults\n    timeout http-request 7s\n")
    haproxy.complete(file, 30)
    assert file.read_text() == "defaults\n    timeout http-request 7s\n"


@pytest.mark.parametrize(
    "drip", [pytest.param(b"", id="nothing-more"), pytest.param(b"a", id="a-byte-at-a-time")]
)
def test_headers_that_never_end_are_408_behind_the_proxy(tmp_path: Path, drip: bytes) -> None:
    """Row I6: however steadily the bytes come, the connection closes when the headers' time is over."""
    port = free_ports(1)[0]
    (tmp_path / "haproxy.cfg").write_text(CONFIG.replace(":1\n", f":{port}\n"))
    command = [sys.executable, "-m", "serve.haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")]
    environ = environment(proxy="haproxy") | {haproxy.HEADER_TIMEOUT: "1"}
    with subprocess.Popen(command, env=environ, cwd=ROOT) as proxy:
        try:
            with connected(port) as sock:
                assert closes(sock, drip).startswith(b"HTTP/1.1 408 ")
            with connected(port) as sock:
                sock.settimeout(20)
                sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert sock.recv(1000).startswith(b"HTTP/1.1 204 ")
        finally:
            proxy.terminate()


def connected(port: int) -> socket.socket:
    until = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=0.1)
        except ConnectionRefusedError:
            assert time.monotonic() < until, "HAProxy did not start"
            time.sleep(0.05)


def closes(sock: socket.socket, drip: bytes) -> bytes:
    """What comes before the proxy closes the connection."""
    got, until = b"", time.monotonic() + 20
    sock.sendall(b"GET / HTTP/1.1\r\nx-slow: ")
    while time.monotonic() < until:
        try:
            if not (data := sock.recv(1000)):
                return got
            got += data
        except TimeoutError:
            sock.sendall(b"" if got else drip)
    raise AssertionError("the connection stays open")


def test_the_plain_proxy_needs_none() -> None:
    assert "RAY_SERVE_HAPROXY_BINARY_PATH" not in environment(proxy="serve")
    assert environment(proxy="haproxy")["RAY_SERVE_HAPROXY_BINARY_PATH"] == haproxy.path()


# A keeper ends with its raylet, as Ray's actors do: nothing else would end the one that is never killed.
RAYLET = """
import subprocess, sys
keeper = [sys.executable, "-c", "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.read()"]
keepers = []
for line in sys.stdin:
    keepers.append(subprocess.Popen([*keeper, *sys.argv[1:]], process_group=0, stdin=subprocess.PIPE))
    print(keepers[-1].pid, flush=True)
"""
TARGETS = """\
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 30s
frontend f
    bind 127.0.0.1:{port}
    use_backend app if TRUE
backend app
    http-request return status 200
"""
NO_TARGETS = TARGETS.partition("    use_backend")[0] + "    http-request return status 503\n"


def test_it_outlives_its_keeper_serves_on_and_ends_with_the_raylet(tmp_path: Path) -> None:
    """Row R4: a keeper dies with its process group; the next one's HAProxy takes over; none is left behind."""
    (port,) = free_ports(1)
    file = tmp_path / "haproxy.cfg"
    file.write_text(TARGETS.format(port=port))
    command = [sys.executable, "-m", "serve.haproxy", "-db", "-f", str(file)]
    with subprocess.Popen(
        [sys.executable, "-c", RAYLET, *command],
        cwd=ROOT,
        env=environment(proxy="haproxy"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as raylet:
        try:
            first = keeper(raylet)
            wait_for(lambda: status(port) == 200, "the first HAProxy")
            (old,) = proxies(file)
            os.killpg(first, signal.SIGKILL)
            assert status(port) == 200, "nobody listens without the keeper"
            file.write_text(NO_TARGETS.format(port=port))  # what a fresh keeper knows
            keeper(raylet)
            wait_for(lambda: proxies(file) not in ([old], []) and old not in proxies(file), "the second one")
            assert status(port) == 200
        finally:
            raylet.kill()
        wait_for(lambda: not started(file), "HAProxy and its keepers to end with the raylet")


def keeper(raylet: "subprocess.Popen[str]") -> int:
    """The pid of a fresh keeper, which starts HAProxy."""
    assert raylet.stdin is not None
    assert raylet.stdout is not None
    print(file=raylet.stdin, flush=True)
    return int(raylet.stdout.readline())


def proxies(file: Path) -> list[int]:
    """HAProxies with this file, not the interpreters that become one."""
    found = psutil.process_iter(["name", "cmdline"])
    return [p.pid for p in found if p.info["name"] == "haproxy" and str(file) in (p.info["cmdline"] or [])]


def started(file: Path) -> list[int]:
    """Every process that was started for this file."""
    return [p.pid for p in psutil.process_iter(["cmdline"]) if str(file) in (p.info["cmdline"] or [])]


def status(port: int) -> int:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=10).status_code
    except httpx2.HTTPError:
        return 0


def wait_for(true: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)
