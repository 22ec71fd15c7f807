"""What an HTTP status of a lane means: whose fault it is, what it costs, and how soon the lane is tried last."""

import pytest

from serve.decision import LaneState
from serve.lane_errors import (
    LaneError,
    LaneForbidden,
    LaneMisconfigured,
    LaneOverloaded,
    LaneRateLimited,
    LaneRejected,
    LaneTimeout,
    LaneUnavailable,
    LaneUnserving,
)
from serve.lanes.openai import status_error
from serve.retries import Blame, Then, rule
from tests.unit.test_dispatch import Scene, trail, whole


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        pytest.param(
            LaneMisconfigured, [301, 302, 304, 307, 308, 401, 402, 404, 405, 407, 410, 421], id="ours"
        ),
        pytest.param(LaneForbidden, [403], id="ours-or-the-clients"),
        pytest.param(LaneRejected, [400, 409, 413, 415, 422, 451], id="the-clients"),
        pytest.param(LaneTimeout, [408], id="slow"),
        pytest.param(LaneRateLimited, [429], id="limited"),
        pytest.param(LaneOverloaded, [503, 529], id="full"),
        pytest.param(LaneUnavailable, [502, 504, 520, 524], id="a-gateways"),
        pytest.param(LaneUnserving, [500, 501, 521, 522, 523, 525], id="its-own"),
    ],
)
def test_a_status_says_whose_fault_it_is(kind: type[LaneError], statuses: list[int]) -> None:
    assert {status: type(status_error("a", status, None)) for status in statuses} == dict.fromkeys(
        statuses, kind
    )


@pytest.mark.parametrize("status", [502, 504, 520, 524])
def test_a_gateway_that_gave_up_may_have_left_a_model_working(status: int) -> None:
    assert not status_error("a", status, None).free


def test_one_403_costs_nothing_and_is_one_failure() -> None:
    error = status_error("a", 403, None)
    found = rule(error)
    assert (error.free, found.then, found.costs, found.blame) == (True, Then.NEXT, False, Blame.COUNTS)


async def test_a_key_without_rights_is_known_by_a_row_of_refusals() -> None:
    """One prompt that a provider flags takes the lane away from nobody else."""
    scene = Scene([status_error("a", 403, None)], [whole("hello")], ejection={"failures": 3})
    seen = []
    for _ in range(3):
        seen.append(scene.load.states()["a"])
        assert trail(await scene.run()) == [("a", "forbidden"), ("b", "ok")]
    assert [*seen, scene.load.states()["a"]] == [LaneState.READY] * 3 + [LaneState.DOWN]
