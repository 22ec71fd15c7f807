"""P13: the network is the second lock. A Router that leaks finds no way out of a host without a route."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import hosts, two_hosts
from tests.support.memory import memory_folder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ARP = "inside protocol 0x0806"  # who has the egress host's address: asked on that cable alone


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What `tests.support.two_hosts` saw."""
    with memory_folder() as folder:
        command = hosts.command(sys.executable, "-m", "tests.support.two_hosts", str(folder))
        if command is None:
            pytest.skip("this machine allows no network namespaces with cables between them")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_requests_of_every_class_are_served_meanwhile(told: dict[str, Any]) -> None:
    lanes = {(one["level"], one["model"]): (one["status"], one["lane"]) for one in told["answers"]}
    assert len(told["answers"]) == 18, "whole and streamed"
    assert {lanes[level, "auto"] for level in ("public", "internal", "confidential")} == {(200, "local")}
    assert lanes["public", "openai"] == (200, "openai")
    assert lanes["public", "anthropic"] == (200, "anthropic")
    assert {
        lanes[level, model][0] for level in ("internal", "confidential") for model in ("openai", "anthropic")
    } == {403}


def test_the_bug_tried_each_time_and_reached_nobody(told: dict[str, Any]) -> None:
    answered = sum(one["status"] == 200 for one in told["answers"])
    assert told["tried"] == {"Network is unreachable": 2 * answered}, "once by TCP and once by UDP"
    assert told["peers"] == [two_hosts.GATE_OUT], "the provider saw the egress host alone"
    assert told["leaked"] is False


def test_no_packet_leaves_the_routers_host_but_to_the_egress_host(told: dict[str, Any]) -> None:
    """By a sniffer in that host, and by the kernel's own counters of its interfaces."""
    left = told["left"]
    assert set(left) <= {f"inside {two_hosts.GATE}", ARP}
    assert left[f"inside {two_hosts.GATE}"] > 0
    assert told["dropped"] == 0, "the sniffer missed something"
    assert told["sent"]["uplink"] == 0
    assert 0 < told["sent"]["inside"] <= sum(left.values()), "the kernel counted what the sniffer did not see"


def test_these_checks_would_notice(told: dict[str, Any]) -> None:
    """With a route out the very same bug does send, and the sniffer sees it; the egress host does not pass it on."""
    assert told["with_route"][f"inside {two_hosts.OUTSIDE}"] > 0
    assert told["leaked_with_route"] is False
