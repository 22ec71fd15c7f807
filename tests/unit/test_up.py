"""`pointsman up`: what its options change, and what happens when Ray does not start."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve import up
from serve.cli import app
from serve.up import overridden
from tests.support.serving import config

ROOT = Path(__file__).parents[2]
# A process of its own: `running` writes into the environment, and Ray reads it when it is imported.
CHILD = """
import ray
from rich.console import Console
from serve import config
from serve.up import free_ports, running

def slow(*_, **__):
    asked.append(1)
    raise Exception("The current node timed out during startup.")

asked, ray.init = [], slow
loaded = config.load("configs/laptop-ollama.yaml")
(port,) = free_ports(1)
server = loaded.server.model_copy(update={"port": port})
try:
    with running(loaded.model_copy(update={"server": server}), Console(stderr=True), proxy="serve"):
        print("it runs")
except RuntimeError as error:
    print(len(asked), error)
"""


def test_a_ray_that_does_not_start_is_told_and_not_started_again_to_be_stopped() -> None:
    command = [sys.executable, "-c", CHILD]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=True)
    assert said.stdout.startswith(
        "1 Ray did not start: The current node timed out during startup. Is this machine "
    )


def test_the_command_line_wins_over_the_file() -> None:
    settings = config("http://127.0.0.1:1", "http://127.0.0.1:1")
    assert overridden(settings, None, None) == settings
    server = overridden(settings, 8123, "text").server
    assert (server.port, server.log_format) == (8123, "text")
    assert server == settings.server.model_copy(update={"port": 8123, "log_format": "text"})


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--log-format", "xml"], "--log-format must be json or text, not 'xml'"),
        (["--proxy", "nginx"], "--proxy must be haproxy or plain, not 'nginx'"),
        (["--port", "0"], "--port"),
    ],
)
def test_an_option_that_means_nothing_is_refused_before_anything_starts(option: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["up", *option])
    assert done.exit_code in (1, 2)
    assert told in " ".join(done.output.replace("\u2502", " ").split())


def test_the_port_of_the_server_is_not_given_to_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "free_ports", lambda count: list(range(20_000, 20_000 + count)))
    for taken in (19_999, 20_000, 20_003):
        given = up._free_ports(taken).values()
        assert len(set(given)) == 4
        assert str(taken) not in given
