"""Ejection of a lane: when, for how long, who finds out that it is well, and that it never costs a lane."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.config import DispatchConfig
from serve.decision import LaneState
from serve.lane_errors import LaneMisconfigured, LaneRateLimited, LaneTimeout, LaneUnavailable
from serve.lanes.health import Health
from serve.lanes.load import LaneLoad
from serve.policy import decide
from serve.wish import Wish
from tests.unit.test_dispatch import Scene, trail, whole
from tests.unit.test_policy import config, lane, rule, signals, view


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def health(**dispatch: Any) -> tuple[Health, Clock]:
    clock = Clock()
    return Health(DispatchConfig.model_validate({"cooldown_s": 10} | dispatch), clock), clock


def fail(one: Health, times: int) -> None:
    for _ in range(times):
        one.failed("gone")


def test_five_failures_in_a_row_eject_and_an_answer_in_between_starts_anew() -> None:
    one, _ = health()
    fail(one, 4)
    one.alive()
    fail(one, 4)
    assert not one.down
    fail(one, 1)
    assert (one.down, one.seconds_left, one.note) == (True, 10, "gone")


def test_a_failed_share_ejects_although_no_failures_are_in_a_row() -> None:
    one, _ = health(ejection={"failures": 5, "share": 0.5, "at_least": 20})
    for _ in range(9):
        one.failed("gone")
        one.alive()
    assert not one.down
    one.alive()
    fail(one, 1)
    assert one.down


def test_each_ejection_is_longer_and_there_is_a_longest() -> None:
    one, clock = health(ejection={"longest_s": 25})
    lasted = []
    for _ in range(4):
        fail(one, 5)
        lasted.append(one.seconds_left)
        clock.now += one.seconds_left
    assert lasted == [10, 20, 25, 25]


def test_an_ejection_runs_its_time_and_then_one_trial_decides() -> None:
    one, clock = health()
    fail(one, 5)
    one.alive()
    assert one.down, "an answer of a call that began before says nothing"
    clock.now = 10
    assert not one.down
    with one.trial() as mine:
        assert (mine, one.down, one.on_trial) == (True, True, True)
        with one.trial() as second:
            assert not second
        assert one.on_trial
        one.alive()
    assert not one.down
    fail(one, 4)
    assert not one.down


def test_a_trial_that_fails_ejects_again_and_one_that_is_given_up_does_not() -> None:
    one, clock = health()
    fail(one, 5)
    clock.now = 10
    with one.trial():
        pass
    assert not one.down
    with one.trial():
        one.failed("still gone")
    assert (one.down, one.seconds_left) == (True, 20)


def test_a_lane_that_stays_well_is_forgiven_one_ejection_after_the_other() -> None:
    one, clock = health()
    for _ in range(3):
        fail(one, 5)
        clock.now += one.seconds_left
        one.alive()
    assert one.ejections == 3
    clock.now += 30
    assert one.ejections == 2
    clock.now += 300
    assert one.ejections == 0


def test_a_lane_that_flaps_switches_at_most_once_in_ten_seconds() -> None:
    one, clock = health()
    switches, before = 0, one.down
    for tenth in range(6000):
        clock.now = tenth / 10
        if not one.down:
            if int(clock.now / 2) % 2:
                one.failed("down")
            else:
                one.alive()
        switches, before = switches + (one.down is not before), one.down
    assert switches <= 600 / 10
    assert switches >= 2, "it was ejected at all"


# Brown-out.


def slow(one: Health, times: int, seconds: float = 30) -> None:
    for _ in range(times):
        one.well("stream", seconds, 1)


def test_answers_that_take_twenty_times_longer_than_usual_eject() -> None:
    one, clock = health()
    slow(one, 20, 1)
    slow(one, 4)
    assert not one.down
    slow(one, 1)
    assert one.down
    assert "slower" in one.note
    clock.now = 10
    slow(one, 1)
    assert (one.down, one.seconds_left) == (True, 20), "a slow trial is no recovery"
    clock.now = 30
    slow(one, 1, 1)
    assert not one.down


@pytest.mark.parametrize(
    ("usual", "then", "work", "why"),
    [
        pytest.param(1, 19, 1, "not slow enough", id="19-times"),
        pytest.param(0.001, 0.9, 1, "faster than anybody minds", id="milliseconds"),
        pytest.param(1, 60, 40, "there was much more to do", id="long-prompts"),
    ],
)
def test_what_is_no_brown_out(usual: float, then: float, work: float, why: str) -> None:
    one, _ = health()
    slow(one, 30, usual)
    for _ in range(20):
        one.well("stream", then, work)
    assert not one.down, why


async def test_dispatch_sees_a_brown_out() -> None:
    scene = Scene([whole("fast")], ejection={"slow_s": 0.01, "at_least": 20})
    for _ in range(20):
        await scene.run()
    assert scene.load.states()["a"] is LaneState.READY
    scene.lanes["a"].script = [0.3, whole("slow")]
    for _ in range(5):
        await scene.run()
    assert scene.load.states()["a"] is LaneState.DOWN


def test_streams_and_whole_answers_are_compared_with_their_own_kind() -> None:
    one, _ = health()
    slow(one, 30, 1)
    for _ in range(20):
        one.well("whole", 60, 1)
    assert not one.down


def test_a_lane_that_stays_slow_becomes_the_new_normal() -> None:
    one, clock = health()
    slow(one, 64, 1)
    for _ in range(64):
        clock.now += 301
        slow(one, 1)
    assert not one.down


# Panic rule: an ejected lane is tried last, never left out.


events = st.lists(
    st.tuples(
        st.sampled_from(["lane0", "lane1", "lane2"]),
        st.sampled_from(
            [
                LaneUnavailable("x", "gone"),
                LaneTimeout("x", "slow"),
                LaneMisconfigured("x", "key"),
                LaneRateLimited("x", "429", 10**9),
                None,
            ]
        ),
        st.floats(0, 20),
    ),
    max_size=80,
)


@settings(deadline=None, max_examples=200)
@given(events)
def test_no_history_of_failures_takes_a_lane_out_of_a_chain(history: list[Any]) -> None:
    names = ("lane0", "lane1", "lane2")
    made = config(rule("default", *names), lanes=[lane(name) for name in names])
    clock = Clock()
    load = LaneLoad(made, clock)
    for name, error, pause in history:
        clock.now += pause
        if error is None:
            load.well(name, True, pause, 1)
        else:
            load.failed(name, error)
    chain = decide(signals(), view(), Wish(), load.states(), made).chain
    assert sorted(chain) == sorted(names)
    down = [name for name in names if load.states()[name] is LaneState.DOWN]
    assert list(chain[len(chain) - len(down) :]) == down
    if len(down) == len(names):
        assert chain == names, "when nobody is well the rule's own order holds"


async def test_an_ejected_lane_still_answers_when_it_is_the_only_one() -> None:
    scene = Scene([whole("hello")])
    scene.load.failed("a", LaneMisconfigured("a", "key"))
    assert scene.load.states()["a"] is LaneState.DOWN
    assert trail(await scene.run()) == [("a", "ok")]


async def test_only_one_request_tries_a_lane_that_may_have_recovered() -> None:
    scene = Scene([whole("from a")], [whole("from b")], cooldown_s=5)
    scene.load.failed("a", LaneMisconfigured("a", "key"))
    scene.now = 5
    with scene.load.trial("a") as mine:
        assert mine
        assert trail(await scene.run()) == [("b", "ok")]
    assert trail(await scene.run()) == [("a", "ok")]
    assert scene.load.states()["a"] is LaneState.READY
