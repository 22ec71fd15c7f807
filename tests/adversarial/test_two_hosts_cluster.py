"""P13 on a real Ray cluster of two hosts: a Router that leaks finds no way out, and a forged permit does not help it.

`test_two_hosts` is its quick twin without Ray.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import hosts, two_hosts
from tests.support.memory import memory_folder

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
STARTS = 3
ARP = "inside protocol 0x0806"  # who has the egress host's address: asked on that cable alone


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What `tests.support.two_nodes` saw. Again when Ray did not come up: it waits 30 s for itself, and no longer."""
    for _attempt in range(STARTS):
        done = _played()
        if done.returncode != os.EX_TEMPFAIL:
            break
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _played() -> "subprocess.CompletedProcess[str]":
    with memory_folder() as folder:
        command = hosts.command(sys.executable, "-m", "tests.support.two_nodes", str(folder))
        if command is None:
            pytest.skip("this machine allows no network namespaces with cables between them")
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def test_the_parts_run_where_the_manifests_put_them(told: dict[str, Any]) -> None:
    assert told["nodes"] == {"router": ["Engine-small", "Router"], "egress": ["CloudProxy"]}


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


def test_a_forged_permit_moves_what_is_public_and_nothing_confidential(told: dict[str, Any]) -> None:
    """The egress host reads the bytes again: the Router's word is not enough."""
    assert told["forged"]["public sent"] == 2
    assert told["forged"]["confidential egress_denied"] == 2
    assert not {outcome for outcome in told["forged"] if outcome.startswith("confidential")} - {
        "confidential egress_denied"
    }


def test_no_packet_of_ray_or_ours_leaves_the_routers_host_but_to_the_egress_host(
    told: dict[str, Any],
) -> None:
    """By a sniffer in that host, and by the kernel's own counters of its interfaces."""
    assert set(told["left"]) <= {ARP}
    assert told["dropped"] == 0, "the sniffer missed something"
    assert told["sent"]["uplink"] == 0
    assert told["sent"]["inside"] > 0


def test_these_checks_would_notice(told: dict[str, Any]) -> None:
    """With an address on its uplink the very same bug gets out, and each of the three ways to see it does."""
    assert told["after"][f"uplink {two_hosts.OUTSIDE}"] > 0
    assert told["sent_after"]["uplink"] > 0
    assert told["leaked_after"] is True
