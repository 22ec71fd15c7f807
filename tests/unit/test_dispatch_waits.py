"""How long dispatch waits until a lane takes a call, and what it does when nobody is left to ask."""

import asyncio
import json
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.decision import LaneState
from serve.dispatch import Answer
from serve.errors import HttpError
from serve.lane_errors import LaneFull, LaneOverloaded, LaneRateLimited, LaneUnavailable, ReplicaDied
from serve.lanes.openai import status_error
from tests.unit.test_dispatch import END, FOREVER, ROLE, SHORT, Scene, read, says, text_of, trail, whole

FULL = LaneFull("a", "its queue is full")
QUICK = {"queue_wait_s": SHORT, "queue_wait_unary_s": SHORT}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_call_that_nobody_takes_goes_to_the_next_lane(stream: bool) -> None:
    good: list[Any] = [ROLE, says("hello"), END] if stream else [whole("hello")]
    scene = Scene(good, good, **QUICK)
    scene.lanes["a"].takes_s = FOREVER
    assert trail(await scene.run(stream=stream)) == [("a", "silent"), ("b", "ok")]
    assert scene.load.in_flight("a") == 0


async def test_a_lane_that_is_silent_although_it_has_room_is_tried_last_after_a_while() -> None:
    scene = Scene([whole("never")], [whole("hello")], **QUICK)
    scene.lanes["a"].takes_s = FOREVER
    for _ in range(5):
        assert scene.load.states()["a"] is LaneState.READY
        await scene.run()
    assert scene.load.states()["a"] is LaneState.DOWN


async def test_a_lane_that_is_silent_because_it_is_busy_is_not_blamed() -> None:
    scene = Scene([whole("never")], [whole("hello")], **QUICK)
    scene.lanes["a"].takes_s = FOREVER
    with ExitStack() as busy:
        for _ in range(8):
            busy.enter_context(scene.load.call("a"))
        for _ in range(6):
            assert trail(await scene.run()) == [("a", "full"), ("b", "ok")]
    assert scene.load.states()["a"] is LaneState.READY


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_wait_in_the_queue_is_no_part_of_the_wait_for_an_answer(stream: bool) -> None:
    good: list[Any] = [0.1, ROLE, says("hello"), END] if stream else [0.1, whole("hello")]
    scene = Scene(good, [whole("never")], queue_wait_s=30, queue_wait_unary_s=30, first_token_s=5, unary_s=5)
    scene.lanes["a"].takes_s = 0.1
    assert trail(await scene.run(stream=stream)) == [("a", "ok")]
    slow = Scene(good, [whole("x")], **QUICK)
    assert trail(await slow.run(stream=stream)) == [("a", "ok")]


async def test_the_last_lane_gets_all_the_time_there_is() -> None:
    scene = Scene([whole("hello")], **QUICK, last_wait_s=30)
    scene.lanes["a"].takes_s = 0.2
    assert trail(await scene.run()) == [("a", "ok")]


async def test_when_the_last_lane_takes_nothing_the_client_is_told_to_come_back() -> None:
    scene = Scene([whole("never")], **QUICK, last_wait_s=SHORT)
    scene.lanes["a"].takes_s = FOREVER
    with pytest.raises(HttpError) as error:
        await scene.run()
    assert (error.value.status, error.value.code) == (503, "no_lane_available")
    assert error.value.retry_after_s
    scene.assert_nothing_is_left()


async def test_a_full_lane_is_asked_again_when_nobody_else_is_left() -> None:
    scene = Scene([FULL])
    scene.lanes["a"].later = [[FULL], [whole("hello")]]
    assert trail(await scene.run()) == [("a", "full"), ("a", "ok")]
    assert len(scene.lanes["a"].calls) == 3


async def test_a_full_chain_is_walked_before_anybody_waits() -> None:
    scene = Scene([FULL], [LaneUnavailable("b", "gone")])
    scene.lanes["a"].later = [[whole("hello")]]
    assert trail(await scene.run()) == [("a", "full"), ("b", "unavailable"), ("a", "ok")]


async def test_nobody_waits_beside_a_full_queue_beyond_the_limit() -> None:
    scene = Scene([FULL], max_waiting=2, last_wait_s=0.5)
    results = await asyncio.gather(*(scene.run() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, HttpError) and result.status == 503 for result in results)
    waited_and_asked_again = 2
    assert len(scene.lanes["a"].calls) >= 5 + waited_and_asked_again
    none = Scene([FULL], max_waiting=0)
    with pytest.raises(HttpError):
        await none.run()
    assert len(none.lanes["a"].calls) == 1


async def test_a_lane_that_is_brimful_by_our_own_count_is_not_asked() -> None:
    scene = Scene([FOREVER], [FOREVER], [whole("hello")], unary_s=FOREVER)
    most = 8 + 4
    running = [asyncio.create_task(scene.run()) for _ in range(most)]
    await scene.lanes["a"].waiting.wait()
    await asyncio.sleep(0)
    assert scene.load.brimful("a")
    late = asyncio.create_task(scene.run())
    await scene.lanes["b"].waiting.wait()
    assert len(scene.lanes["a"].calls) == most
    for task in [*running, late]:
        task.cancel()
    await asyncio.gather(*running, late, return_exceptions=True)
    scene.assert_nothing_is_left()


# Asked again along a grammar.


WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]


def calls(arguments: str) -> str:
    function = {"name": "weather", "arguments": arguments}
    return whole(None, tool_calls=[{"id": "1", "type": "function", "function": function}])


async def test_what_an_answer_took_is_not_taken_from_the_wait_of_the_second_question() -> None:
    scene = Scene([1.1, calls("{}")], last_wait_s=1)
    scene.lanes["a"].later = [[calls('{"city": "Rome"}')]]
    scene.lanes["a"].takes_s = 0.05
    assert trail(await scene.run(tools=TOOLS)) == [("a", "invalid"), ("a", "reasked")]
    scene.assert_nothing_is_left()


async def test_the_second_question_waits_beside_a_full_queue_and_stays_constrained() -> None:
    scene = Scene([calls("{}")])
    scene.lanes["a"].later = [[FULL], [FULL], [calls('{"city": "Rome"}')]]
    answer = await scene.run(tools=TOOLS)
    assert trail(answer) == [("a", "invalid"), ("a", "full"), ("a", "reasked")]
    _, *again = (json.loads(call.body) for call in scene.lanes["a"].calls)
    assert [one["tool_choice"]["function"]["name"] for one in again] == ["weather"] * 3


async def test_a_lane_that_others_filled_meanwhile_is_not_asked_again_while_somebody_else_is_left() -> None:
    scene = Scene([0.05, calls("{}")], [calls('{"city": "Rome"}')])
    with ExitStack() as busy:
        asked = await _filled(scene, busy)
        assert trail(await asked) == [("a", "invalid"), ("b", "repaired")]


async def test_a_lane_that_others_filled_meanwhile_is_waited_for_where_nobody_else_is_left() -> None:
    scene = Scene([0.05, calls("{}")])
    scene.lanes["a"].later = [[calls('{"city": "Rome"}')]]
    with ExitStack() as busy:
        asked = await _filled(scene, busy)
        while not scene.load.spills()["small"]:  # noqa: ASYNC110 - nothing signals that a lane was found full
            await asyncio.sleep(0.01)
    assert trail(await asked) == [("a", "invalid"), ("a", "full"), ("a", "reasked")]


async def _filled(scene: Scene, busy: ExitStack) -> asyncio.Task[Answer]:
    """A request under way on `a`, which others fill up for as long as `busy` is open."""
    asked = asyncio.create_task(scene.run(tools=TOOLS))
    await scene.lanes["a"].waiting.wait()
    for _ in range(8 + 4):
        busy.enter_context(scene.load.call("a"))
    return asked


async def test_the_second_question_is_not_waited_for_without_end() -> None:
    scene = Scene([calls("{}")], last_wait_s=SHORT)
    scene.lanes["a"].later = [[FULL]]
    with pytest.raises(HttpError) as error:
        await scene.run(tools=TOOLS)
    assert (error.value.status, error.value.code) == (503, "no_lane_available")
    assert error.value.retry_after_s
    scene.assert_nothing_is_left()


# A replica that died.


async def test_a_dead_replicas_call_goes_to_its_neighbour_once() -> None:
    scene = Scene([ReplicaDied("a", "died")], [whole("other")])
    scene.load.engine("small", 2, "healthy")
    assert trail(await scene.run()) == [("a", "died"), ("a", "died"), ("b", "ok")]


async def test_the_only_replicas_death_hands_over_to_the_next_lane() -> None:
    scene = Scene([ReplicaDied("a", "died")], [whole("other")])
    assert trail(await scene.run()) == [("a", "died"), ("b", "ok")]


async def test_the_only_replica_is_waited_for_when_nobody_else_is_left() -> None:
    scene = Scene([ReplicaDied("a", "died")])
    scene.lanes["a"].later = [[0.05, whole("hello")]]
    assert trail(await scene.run()) == [("a", "died"), ("a", "ok")]


async def test_a_lane_without_replicas_is_waited_for_when_nobody_else_is_left() -> None:
    scene = Scene([whole("hello")], down_wait_s=SHORT)
    scene.load.engine("small", 0, "starting")
    scene.lanes["a"].takes_s = 0.1
    assert trail(await scene.run()) == [("a", "ok")]


# Retry-After.


async def test_the_only_lane_is_asked_again_after_the_time_it_asked_for() -> None:
    scene = Scene([LaneRateLimited("a", "429", 0.05)])
    scene.lanes["a"].later = [[LaneOverloaded("a", "503", 0)], [whole("hello")]]
    assert trail(await scene.run()) == [("a", "rate_limited"), ("a", "overloaded"), ("a", "ok")]


@pytest.mark.parametrize("seconds", [None, 10**9, float("inf"), 5.0])
async def test_a_wait_that_does_not_fit_is_not_begun(seconds: float | None) -> None:
    scene = Scene([LaneRateLimited("a", "429", seconds)])
    with pytest.raises(HttpError) as error:
        await scene.run(deadline=4)
    assert (error.value.status, error.value.code) == (503, "no_lane_available")
    assert len(scene.lanes["a"].calls) == 1


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=12) | st.floats().map(str) | st.integers().map(str))
def test_whatever_a_retry_after_header_says_it_ends_in_an_answer(value: str) -> None:
    async def run() -> int:
        with pytest.raises(HttpError) as error:
            await Scene([status_error("a", 429, value)], last_wait_s=SHORT).run(deadline=5)
        return error.value.status

    assert asyncio.run(run()) == 503


async def test_a_lane_that_always_asks_for_a_moment_gets_it_only_so_often() -> None:
    scene = Scene([LaneRateLimited("a", "429", 0)])
    with pytest.raises(HttpError):
        await scene.run()
    assert len(scene.lanes["a"].calls) == 4


async def test_a_wait_ends_when_the_client_leaves() -> None:
    scene = Scene([LaneRateLimited("a", "429", 20)])
    task = asyncio.create_task(scene.run())
    while not scene.lanes["a"].closed:  # noqa: ASYNC110 - a lane that failed has nothing to signal with
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.assert_nothing_is_left()


# Spills are counted, for the autoscaler and for people.


async def test_a_request_counts_as_spilled_once_whatever_else_happens() -> None:
    scene = Scene([FULL], [whole("hello")])
    await scene.run()
    assert scene.load.spills() == {"small": 1}
    await scene.run(spilled_from="a")
    assert scene.load.spills() == {"small": 2}
    other = Scene([whole("hello")])
    await other.run()
    assert other.load.spills() == {"small": 0}


# Hedging.


SLOW: list[Any] = [ROLE, FOREVER]
GOOD = [ROLE, says("hello"), END]


async def test_the_next_lane_starts_beside_a_late_one_and_the_first_words_win() -> None:
    scene = Scene(SLOW, GOOD, hedge_after_s=SHORT)
    answer = await scene.run(stream=True)
    assert trail(answer) == [("a", "cancelled"), ("b", "ok")]
    assert text_of(await read(answer)) == "hello"
    scene.assert_nothing_is_left()


async def test_the_late_lane_may_still_win() -> None:
    scene = Scene([ROLE, 0.3, says("hello"), END], SLOW, hedge_after_s=SHORT)
    answer = await scene.run(stream=True)
    assert trail(answer) == [("b", "cancelled"), ("a", "ok")]
    assert (answer.lane, text_of(await read(answer))) == ("a", "hello")
    scene.assert_nothing_is_left()


async def test_two_that_fail_hand_over_to_the_third() -> None:
    late: list[Any] = [ROLE, 0.1, LaneUnavailable("x", "gone")]
    scene = Scene(late, late, GOOD, hedge_after_s=SHORT)
    answer = await scene.run(stream=True)
    assert sorted(trail(answer)[:2]) == [("a", "unavailable"), ("b", "unavailable")]
    assert trail(answer)[2:] == [("c", "ok")]
    await read(answer)
    scene.assert_nothing_is_left()


async def test_a_client_that_leaves_during_a_hedge_closes_both_lanes() -> None:
    scene = Scene(SLOW, SLOW, hedge_after_s=SHORT)
    task = asyncio.create_task(scene.run(stream=True))
    await scene.lanes["b"].waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("stream", "settings"),
    [
        pytest.param(False, {"hedge_after_s": SHORT}, id="not-interactive"),
        pytest.param(True, {}, id="off-by-default"),
        pytest.param(True, {"hedge_after_s": 30}, id="not-late"),
        pytest.param(True, {"hedge_after_s": SHORT, "retries": {"share": 0, "floor": 0}}, id="no-budget"),
    ],
)
async def test_nothing_else_starts_a_second_lane(stream: bool, settings: dict[str, float]) -> None:
    slow: list[Any] = [0.2, ROLE, says("hello"), END] if stream else [0.2, whole("hello")]
    scene = Scene(slow, GOOD, **settings)
    assert trail(await scene.run(stream=stream)) == [("a", "ok")]
    assert scene.asked == ["a"]


async def test_a_bug_in_a_hedged_lane_is_not_swallowed() -> None:
    scene = Scene([0.1, ZeroDivisionError()], SLOW, hedge_after_s=SHORT)
    with pytest.raises(ZeroDivisionError):
        await scene.run(stream=True)
    scene.assert_nothing_is_left()
