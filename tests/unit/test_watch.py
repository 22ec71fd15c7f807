"""`pointsman up` applies a file that is whole, right and hot, tells what is not, and never stops for it."""

import fcntl
import io
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from serve import yaml_file
from serve.config import Config, load
from serve.errors import ConfigError
from serve.watch import Watch
from tests.unit.test_config import GOOD, changed, written

ROOT = Path(__file__).parents[2]


@dataclass
class Rig:
    """A watched file, what was applied and what was told."""

    path: Path
    fails: bool = False
    applied: list[Config] = field(default_factory=list)
    text: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        written(self.path.parent, GOOD)
        console = Console(file=self.text, width=200)
        self.watch = Watch(self.path, load(self.path), lambda config: config, self.apply, console)
        self.look(2)
        assert self.told() == ""

    def apply(self, config: Config) -> None:
        if self.fails:
            raise RuntimeError("Serve did not take it: no controller")
        self.applied.append(config)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.watch.look()

    def told(self) -> str:
        text = self.text.getvalue()
        self.text.seek(0)
        self.text.truncate()
        return text

    def write(self, *path: Any, to: object) -> None:
        written(self.path.parent, changed(*path, to=to))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "pointsman.yaml")


def test_a_change_is_applied_once_it_reads_the_same_twice(rig: Rig) -> None:
    rig.write("dispatch", to={"idle_s": 3})
    rig.look()
    assert rig.applied == []
    rig.look(5)
    assert [config.dispatch.idle_s for config in rig.applied] == [3]
    assert "dispatch.idle_s: 30.0 -> 3.0" in rig.told()


def test_a_file_that_is_still_being_written_is_left_alone(rig: Rig) -> None:
    whole = yaml.safe_dump(changed("dispatch", to={"idle_s": 3})).encode()
    for end in range(0, len(whole), 7):
        rig.path.write_bytes(whole[:end])
        rig.look()
    assert rig.applied == []
    assert rig.told() == ""
    rig.path.write_bytes(whole)
    rig.look(2)
    assert len(rig.applied) == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(b"", "whole file", id="empty"),
        pytest.param(b"\x00\xff", "not readable YAML", id="binary"),
        pytest.param(b"policy: [", "not readable YAML", id="cut-off"),
        pytest.param(b"typo: 1\n", "typo", id="unknown-key"),
        pytest.param(b"# " + b"x" * (1 << 20), "larger than 256 KiB", id="huge"),
        pytest.param(None, "No such file", id="gone"),
    ],
)
def test_a_wrong_file_is_told_once_and_changes_nothing(rig: Rig, content: bytes | None, fault: str) -> None:
    rig.path.unlink() if content is None else rig.path.write_bytes(content)
    rig.look(2)
    told = rig.told()
    assert "Not reloaded" in told
    assert fault in told
    rig.look(5)
    assert rig.told() == ""
    rig.write("dispatch", to={"idle_s": 3})
    rig.look(2)
    assert len(rig.applied) == 1


def test_a_fixed_field_is_refused_by_name_and_the_hot_change_beside_it_waits_as_well(rig: Rig) -> None:
    raw = changed("engines", "small", "model", to="other") | {"dispatch": {"idle_s": 3}}
    written(rig.path.parent, raw)
    rig.look(2)
    assert rig.applied == []
    told = rig.told()
    assert "engines.small.model" in told
    assert "needs a redeploy" in told


def test_what_serve_does_not_take_is_told_and_tried_again_on_demand(rig: Rig) -> None:
    rig.fails = True
    rig.write("dispatch", to={"idle_s": 3})
    rig.look(2)
    assert "no controller" in rig.told()
    rig.fails = False
    rig.watch.look(now=True)
    assert len(rig.applied) == 1


def test_a_demand_is_answered_even_when_nothing_changed(rig: Rig) -> None:
    rig.watch.look(now=True)
    assert "says what already runs" in rig.told()
    assert rig.applied == []


def test_a_comment_changes_nothing(rig: Rig) -> None:
    rig.path.write_text(f"# a comment\n{rig.path.read_text()}")
    rig.look(3)
    assert (rig.applied, rig.told()) == ([], "")


def test_a_change_while_pointsman_was_starting_is_seen(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    before = load(path)
    written(tmp_path, changed("dispatch", to={"idle_s": 3}))
    applied: list[Config] = []
    watch = Watch(path, before, lambda config: config, applied.append, Console(file=io.StringIO()))
    watch.look()
    watch.look()
    assert len(applied) == 1


# The reader under it.


def bomb(levels: int) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bomb(9), id="a-billion-laughs"),
        pytest.param(b"&a [*a]", id="an-alias-to-itself"),
        pytest.param(b"a: &a {b: *a}", id="a-mapping-in-itself"),
        pytest.param(b"engines: &e {x: {vllm: {y: *e}}}", id="a-loop-in-a-free-field"),
    ],
)
def test_aliases_that_never_end_are_refused_at_once(content: bytes) -> None:
    with pytest.raises(ConfigError, match="aliases written out"):
        yaml_file.parse(content, "bomb.yaml")


def test_ordinary_aliases_are_fine() -> None:
    assert yaml_file.parse(b"a: &a [1]\nb: *a\n", "x.yaml") == {"a": [1], "b": [1]}


def test_no_more_of_a_file_is_read_than_a_configuration_can_hold() -> None:
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        yaml_file.read("/dev/zero")


# `pointsman up` while it waits.

WAITS = """
import signal, sys, threading, time
from pathlib import Path
from rich.console import Console
from serve.config import load
from serve.up import wait_for_signal
from serve.watch import Watch

path = Path(sys.argv[1])
watch = Watch(path, load(path), lambda config: config, lambda config: None, Console(width=200))

def announce():
    while signal.getsignal(signal.SIGHUP) in (signal.SIG_DFL, signal.SIG_IGN):
        time.sleep(0.01)
    print("waiting", flush=True)

threading.Thread(target=announce).start()
wait_for_signal(watch, look=sys.argv[2] == "look")
print("left", flush=True)
"""


@pytest.mark.parametrize("look", ["look", "no-look"])
def test_sighup_reads_the_file_with_and_without_watching_and_sigterm_ends(tmp_path: Path, look: str) -> None:
    path = written(tmp_path, GOOD)
    command = [sys.executable, "-c", WAITS, str(path), look]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        written(tmp_path, changed("dispatch", to={"idle_s": 3}))
        if look == "no-look":
            time.sleep(1)
            process.send_signal(signal.SIGHUP)
        assert process.stdout.readline().startswith("Reloaded ")
        assert "idle_s: 30.0 -> 3.0" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert "says what already runs" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "left\n"
        assert process.wait(30) == 0


def _on_a_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs these tests may be under nohup


def test_a_closed_terminal_still_ends_it(tmp_path: Path) -> None:
    """SIGHUP means two things: the terminal is gone only where there was one."""
    path = written(tmp_path, GOOD)
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", WAITS, str(path), "no-look"],
        cwd=ROOT,
        stdin=its,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_on_a_terminal,
    ) as process:
        os.close(its)
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGHUP)
        assert "says what already runs" in process.stdout.readline()
        os.close(ours)
        assert process.stdout.readline() == "left\n"
        assert process.wait(30) == 0
