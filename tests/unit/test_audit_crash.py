"""What the log still tells when its process dies or its disk is full: rows A1 and A3, without Ray."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serve.audit import rows, verify
from tests.support.memory import memory_folder
from tests.support.nightly import cases
from tests.support.upstream import ThreadedUpstream

ROOT = Path(__file__).parents[2]
WITHIN_S = 120.0


def lines(file: Path) -> list[str]:
    """The whole lines that are in a file that somebody still writes."""
    return file.read_text().split("\n")[:-1] if file.exists() else []


@contextmanager
def ended(nursery: "subprocess.Popen[str]") -> Iterator[None]:
    """Whatever fails meanwhile, neither the process nor its child outlives it."""
    try:
        yield
    except BaseException:
        os.killpg(nursery.pid, signal.SIGKILL)
        raise


@pytest.fixture
def folder() -> Iterator[Path]:
    """A killed process loses nothing that it has handed to the system, so this need not be a disk."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def upstreams() -> Iterator[tuple[ThreadedUpstream, ThreadedUpstream]]:
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        yield local, cloud


def test_whatever_asked_the_cloud_before_a_kill_left_its_intent(
    folder: Path, upstreams: tuple[ThreadedUpstream, ThreadedUpstream]
) -> None:
    """A1: SIGKILL at random points; every decision that reached a cloud lane has an intent, and all chains hold."""
    local, cloud = upstreams
    chance = random.Random(0)
    state, trace = folder / "state.db", folder / "trace"
    command = [
        sys.executable,
        "-m",
        "tests.support.audit_child",
        local.url,
        cloud.url,
        str(state),
        str(trace),
    ]
    rounds = cases(20, 200)
    with (
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as nursery,
        ended(nursery),
    ):
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(rounds):
            before = len(lines(trace))
            nursery.stdin.write("\n")
            nursery.stdin.flush()
            victim = int(nursery.stdout.readline())
            end, wanted = time.monotonic() + WITHIN_S, before + chance.randint(1, 25)
            while len(lines(trace)) < wanted:
                assert time.monotonic() < end, "it asks nobody"
                time.sleep(chance.random() * 0.005)
            os.kill(victim, signal.SIGKILL)
            assert nursery.stdout.readline() == "ended\n"
        nursery.stdin.close()
    asked = {line.split()[0] for line in lines(trace) if line.split()[1].startswith("cloud")}
    with rows.reading(f"sqlite:///{state}") as connection:
        assert connection is not None
        intents = {row.columns["decision"] for row in rows.of_kind(connection, "intent")}
        report = verify.log(connection)
    assert asked
    assert asked - intents == set()
    assert report.faults == []
    assert len(report.heads) == rounds


FULL_DISK = """
mount -t tmpfs -o size=600k none "$1" || exit 77
exec "$2" -m tests.support.audit_full "$1"
"""


def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    """A3: on a file system of 600 KiB that is filled to the last byte, then emptied."""
    command = ["unshare", "-rm", "sh", "-ec", FULL_DISK, "sh", str(tmp_path), sys.executable]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S)
    except FileNotFoundError:
        pytest.skip("no unshare on this system")
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["full: database or disk is full", "well again", "whole"]
