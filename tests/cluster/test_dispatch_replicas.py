"""Dispatch over real Serve handles: full queues, a replica killed under load, and then all of them."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What `tests.support.replicas` saw, on a Ray cluster of its own."""
    command = [sys.executable, "-m", "tests.support.replicas"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("{"))
    )  # Ray writes there too
    return result


def test_what_a_full_engine_does_not_take_is_answered_elsewhere(found: dict[str, Any]) -> None:
    assert set(found["full"]) <= {"engine=full,away=ok", "engine=silent,away=ok"}
    assert all(trail.endswith("engine=ok") for trail in found["busy"]), "nobody else may answer these"
    assert found["after"] == "engine=ok"


def test_no_request_is_lost_when_a_replica_is_killed(found: dict[str, Any]) -> None:
    trails = Counter(found["one_died"])
    assert all(trail.endswith("=ok") for trail in trails)
    assert any("engine=died" in trail for trail in trails), "somebody's replica died"


def test_no_request_waits_for_replicas_that_nobody_has_missed_yet(found: dict[str, Any]) -> None:
    assert all(trail.endswith("=ok") for trail in found["all_died"])
    assert any(trail.endswith("away=ok") for trail in found["all_died"])


def test_who_may_go_nowhere_else_waits_until_a_replica_is_back(found: dict[str, Any]) -> None:
    text, trail, _ = found["waited"]
    assert text.isdigit()
    assert trail.endswith("engine=ok")
