"""The table of retries and the budget: what goes on, what ends, and how much more is sent in a bad minute."""

import pytest

from serve import lane_errors
from serve.config import RetryConfig
from serve.errors import HttpError
from serve.lane_errors import (
    AnswerInvalid,
    AnswerUnsure,
    LaneAbsent,
    LaneError,
    LaneFull,
    LaneRejected,
    LaneTooLong,
    LaneUnavailable,
    LaneUnledgered,
    LaneUnserving,
    ReplicaDied,
)
from serve.retries import TABLE, Blame, RetryBudget, Then, rule
from tests.unit.test_dispatch import Scene, trail, whole

GONE = LaneUnavailable("a", "gone")
NONE = {"share": 0, "floor": 0}


def test_every_failure_of_a_lane_has_a_row_of_its_own_before_those_it_is_a_kind_of() -> None:
    kinds = [kind for kind, _ in TABLE]
    assert kinds[-1] is LaneError
    for i, kind in enumerate(kinds):
        assert not [later for later in kinds[i + 1 :] if issubclass(later, kind)], kind
    named = {x for x in vars(lane_errors).values() if isinstance(x, type) and issubclass(x, LaneError)}
    # Treated as what they are a kind of: LaneFull, LaneUnavailable, LaneUnpaid, LaneRejected, AnswerInvalid.
    assert named - set(kinds) == {LaneAbsent, LaneUnserving, LaneUnledgered, LaneTooLong, AnswerUnsure}


def test_what_was_never_sent_costs_nothing_and_blames_nobody() -> None:
    for error in (LaneFull("a", "full"), LaneAbsent("a", "starting")):
        assert (rule(error).costs, rule(error).blame) == (False, Blame.NONE)
    assert rule(ReplicaDied("a", "died")).then is Then.SAME
    assert rule(lane_errors.LaneInterrupted("a", "cut")).then is Then.END


def test_a_budget_grants_its_floor_and_a_share_of_the_requests_and_forgets() -> None:
    now = [0.0]
    budget = RetryBudget(RetryConfig(share=0.2, floor=3, window_s=10), lambda: now[0])
    assert [budget.spend() for _ in range(4)] == [True] * 3 + [False]
    for _ in range(10):
        budget.request()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    now[0] = 11
    assert [budget.spend() for _ in range(4)] == [True] * 3 + [False]


async def test_without_a_budget_the_first_failure_is_the_answer() -> None:
    scene = Scene([GONE], [whole("never")], retries=NONE)
    with pytest.raises(HttpError) as error:
        await scene.run()
    assert (error.value.status, error.value.code) == (503, "no_lane_available")
    assert error.value.retry_after_s
    assert "too many requests are being retried" in error.value.message
    assert scene.asked == ["a"]


async def test_a_502_for_want_of_budget_says_when_to_come_back_too() -> None:
    scene = Scene(["{not json"], [whole("never")], retries=NONE)
    with pytest.raises(HttpError) as error:
        await scene.run()
    assert (error.value.status, error.value.retry_after_s) == (502, 5)


@pytest.mark.parametrize(
    "free",
    [
        pytest.param(LaneFull("a", "full"), id="overflow"),
        pytest.param(LaneRejected("a", "no"), id="refused"),
        pytest.param(AnswerInvalid("a", "bad"), id="escalation"),
    ],
)
async def test_overflow_and_escalation_need_no_budget(free: LaneError) -> None:
    scene = Scene([free], [whole("hello")], retries=NONE)
    assert trail(await scene.run()) == [("a", free.outcome), ("b", "ok")]


async def test_a_thousand_requests_to_lanes_that_all_fail_are_hardly_more_calls() -> None:
    scene = Scene([GONE], [GONE], [GONE])
    for _ in range(1000):
        with pytest.raises(HttpError):
            await scene.run()
    calls = sum(len(lane.calls) for lane in scene.lanes.values())
    assert 1000 <= calls <= 1.2 * 1000 + RetryConfig().floor
