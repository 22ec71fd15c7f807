"""Fast twins of `make chaos`: one real graph without vLLM, broken in one way after another under SDK traffic.

Counts only; seconds are measured by the suite itself. Each test leaves the graph whole for the next.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest

from bench.chaos.faults import FAULTS
from bench.chaos.figures import Row
from bench.chaos.rig import Rig
from bench.chaos.scene import play
from bench.chaos.traffic import Load, Traffic, client
from tests.cluster.conftest import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig() as broken:
        yield broken


def played(rig: Rig, name: str, seconds: float = 3, workers: int = 6) -> Row:
    """The figures of one fault, made short, without its promises on time: those are for a quiet machine."""
    fault = BY_NAME[name]
    return asyncio.run(play(replace(fault, load=replace(fault.load, workers=workers)), rig, seconds))


def test_a_lane_that_is_killed_again_and_again_costs_no_request(rig: Rig) -> None:
    row = played(rig, "lane-killed")
    assert (row.strikes, row.fell_back > 0) == (2, True)
    assert (row.lost, row.errors) == (0, 0), row.codes


def test_a_lane_that_dies_before_its_first_token_is_not_noticed(rig: Rig) -> None:
    row = played(rig, "dies-before-first-token")
    assert (row.lost, row.errors) == (0, 0), row.codes
    assert row.fell_back > 0


def test_one_of_two_routers_killed_costs_a_client_of_the_sdk_nothing(rig: Rig) -> None:
    row = played(rig, "router-killed")
    assert (row.lost, row.errors) == (0, 0), row.codes


def test_without_the_controller_answers_go_on(rig: Rig) -> None:
    row = played(rig, "controller-killed")
    assert (row.lost, row.errors, row.retried) == (0, 0, 0), row.codes


def test_a_frozen_lane_is_left_alone(rig: Rig) -> None:
    row = played(rig, "lane-frozen", seconds=6)
    assert (row.lost, row.errors) == (0, 0), row.codes
    assert row.fell_back > 0


def test_a_failing_cloud_is_not_hammered(rig: Rig) -> None:
    row = played(rig, "cloud-fails")
    assert (row.lost, row.errors) == (0, 0), row.codes
    assert row.seen["cloud hits"] <= 1.2 * row.seen["asked meanwhile"] + 10


def test_a_stream_cut_after_its_first_token_ends_in_one_error_that_says_so(rig: Rig) -> None:
    row = played(rig, "streams-cut")
    assert row.lost == 0, row.codes
    assert set(row.codes) == {"upstream_interrupted"}


def test_a_full_disk_costs_no_answer(rig: Rig) -> None:
    """Row A3; not even a line of the log can be written."""
    row = played(rig, "disk-full")
    assert (row.lost, row.errors) == (0, 0), row.codes
    assert row.requests > 0


def test_confidential_requests_wait_or_fail_but_never_leave(rig: Rig) -> None:
    row = played(rig, "confidential-without-locals")
    assert row.lost == 0, row.codes
    assert row.seen["cloud hits"] == 0
    assert "cloud" not in row.lanes


@pytest.mark.parametrize("name", ["scout-killed", "scout-frozen"])
def test_without_the_scout_requests_are_decided_all_the_same(rig: Rig, name: str) -> None:
    if not rig.scout:
        pytest.skip("the Scout's model is not here: make test fetches it")
    row = played(rig, name)
    assert (row.lost, row.errors, row.retried) == (0, 0, 0), row.codes


def statuses(rig: Rig, key: str, times: int = 12) -> set[int]:
    """Of so many calls, each over a connection of its own: they reach both Routers."""
    head = {"authorization": f"Bearer {key}"}
    return {
        httpx2.get(f"{rig.url}/v1/models", headers=head, trust_env=False, timeout=30).status_code
        for _ in range(times)
    }


def test_a_revoked_key_is_refused_by_both_routers_within_seconds(rig: Rig) -> None:
    """Row K7; docs/keys.md says how many seconds."""
    key = rig.keys.create("leaver")
    wait_for(lambda: statuses(rig, key) == {200}, 60, "both Routers to know the new key")
    rig.keys.revoke("leaver")
    wait_for(lambda: statuses(rig, key) == {401}, 60, "both Routers to refuse it")
    assert statuses(rig, key) == {401}
    assert statuses(rig, rig.key) == {200}


def test_a_key_that_floods_costs_another_key_no_answer(rig: Rig) -> None:
    """Row R18: fifty requests at once, again and again, of a key that may have four."""
    flooding = rig.keys.create("flood", max_parallel=4)
    wait_for(lambda: statuses(rig, flooding) == {200}, 60, "both Routers to know the new key")

    async def both() -> tuple[Traffic, Traffic]:
        async with client(rig.url, 0, flooding) as one, client(rig.url, 0, rig.key) as other:
            flood, calm = Traffic(one, Load()), Traffic(other, Load())
            for _ in range(4):
                await asyncio.gather(flood.once(50), calm.once(4))
        return flood, calm

    flood, calm = asyncio.run(both())
    assert [x.code for x in calm.outcomes if x.verdict != "right"] == []
    ends = Counter(x.code or "right" for x in flood.outcomes)
    assert ends.keys() == {"right", "429 rate_limit_exceeded"}
    assert ends["right"] >= 4
