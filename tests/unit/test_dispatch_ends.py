"""How dispatch ends: cancelled, failed or read to the end, nothing stays busy and the error says why."""

import asyncio
import gc
from typing import Any

import pytest

from serve.decision import LaneState
from serve.errors import HttpError
from serve.lane_errors import (
    AnswerInvalid,
    LaneEgressDenied,
    LaneMisconfigured,
    LaneOverloaded,
    LaneProtocolError,
    LaneRateLimited,
    LaneRejected,
    LaneTimeout,
    LaneTooLong,
    LaneUnavailable,
    LaneUnrecorded,
)
from tests.unit.test_dispatch import END, FOREVER, ROLE, SHORT, Scene, read, says, whole

GONE = LaneUnavailable("a", "gone")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_client_that_leaves_before_the_first_word_closes_the_lane(stream: bool) -> None:
    scene = Scene([FOREVER], [whole("never")])
    task = asyncio.create_task(scene.run(stream=stream))
    await scene.lanes["a"].waiting.wait()
    assert scene.load.in_flight("a") == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.asked == ["a"]
    scene.assert_nothing_is_left()


async def test_a_client_that_leaves_in_the_middle_closes_the_lane() -> None:
    scene = Scene([ROLE, says("a"), FOREVER])
    answer = await scene.run(stream=True)
    assert scene.load.in_flight("a") == 1
    task = asyncio.create_task(read(answer))
    await scene.lanes["a"].waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.assert_nothing_is_left()


async def test_closing_a_stream_between_two_chunks_closes_the_lane() -> None:
    scene = Scene([ROLE, says("a"), says("b"), says("c"), END])
    answer = await scene.run(stream=True)
    chunks: Any = answer.chunks
    await anext(chunks)
    await chunks.aclose()
    scene.assert_nothing_is_left()


async def test_closing_a_stream_that_was_never_read_closes_the_lane() -> None:
    scene = Scene([ROLE, says("a"), END])
    answer = await scene.run(stream=True)
    chunks: Any = answer.chunks
    await chunks.aclose()
    scene.assert_nothing_is_left()


async def test_a_stream_that_is_dropped_unread_frees_the_lane_in_the_end() -> None:
    scene = Scene([ROLE, says("a"), END])
    await scene.run(stream=True)
    gc.collect()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    scene.assert_nothing_is_left()


async def test_a_bug_in_a_lane_is_not_swallowed_and_frees_the_lane() -> None:
    scene = Scene([ZeroDivisionError()], [whole("never")])
    with pytest.raises(ZeroDivisionError):
        await scene.run(stream=True)
    scene.assert_nothing_is_left()


# What a failure leaves behind.


@pytest.mark.parametrize(
    ("failure", "cools", "seconds"),
    [
        pytest.param(GONE, False, 0, id="unavailable-once"),
        pytest.param(LaneMisconfigured("a", "key"), True, 5, id="misconfigured"),
        pytest.param(LaneRateLimited("a", "429"), True, 5, id="rate-limited"),
        pytest.param(LaneRateLimited("a", "429", 42), True, 42, id="rate-limited-for-42-s"),
        pytest.param(LaneRateLimited("a", "429", 10**9), True, 300, id="rate-limited-for-ever"),
        pytest.param(LaneRateLimited("a", "429", 0), False, 0, id="rate-limited-for-no-time"),
        pytest.param(LaneOverloaded("a", "full", 9), False, 0, id="overloaded"),
        pytest.param(LaneRejected("a", "no"), False, 0, id="rejected"),
        pytest.param(LaneTimeout("a", "slow"), False, 0, id="timeout"),
        pytest.param(LaneProtocolError("a", "odd"), False, 0, id="protocol-error"),
        pytest.param(LaneEgressDenied("a", "gate"), False, 0, id="egress-denied"),
    ],
)
async def test_a_lane_that_fails_is_tried_last_for_as_long_as_it_asks(
    failure: Exception, cools: bool, seconds: float
) -> None:
    scene = Scene([failure], [whole("hello")], cooldown_s=5)
    await scene.run()
    assert (scene.load.states()["a"] is LaneState.DOWN) is cools
    scene.now = seconds - 0.001 if cools else 0
    assert (scene.load.states()["a"] is LaneState.DOWN) is cools
    scene.now = seconds
    assert scene.load.states()["a"] is LaneState.READY


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_lane_that_answers_is_forgiven(stream: bool) -> None:
    scene = Scene([ROLE, says("a"), END] if stream else [whole("a")])
    scene.load.cool("a", 60, "it failed before")
    await scene.run(stream=stream)
    assert scene.load.states()["a"] is LaneState.READY


async def test_a_lane_that_dies_in_the_middle_of_its_streams_is_tried_last() -> None:
    scene = Scene([ROLE, says("a"), GONE], ejection={"failures": 2})
    # Its first words count as an answer, so only failures in a row without one eject.
    streams = [await scene.run(stream=True) for _ in range(2)]
    for answer in streams:
        assert scene.load.states()["a"] is LaneState.READY
        with pytest.raises(Exception, match="gone"):
            await read(answer)
    assert scene.load.states()["a"] is LaneState.DOWN


# What the client is told when nobody answered.


LIMITED = LaneRateLimited("a", "429", 7.2)


@pytest.mark.parametrize(
    ("scripts", "status", "code", "retry"),
    [
        pytest.param([[GONE]], 503, "no_lane_available", 3, id="gone"),
        pytest.param([[GONE], [LIMITED]], 503, "no_lane_available", 8, id="gone-and-limited"),
        pytest.param([[LIMITED], [LaneOverloaded("b", "full", 2)]], 503, "no_lane_available", 2, id="shortest"),
        pytest.param([[LaneRateLimited("a", "429", 0)]], 503, "no_lane_available", 3, id="wait-no-time"),
        pytest.param([[LaneOverloaded("a", "full")]], 503, "no_lane_available", 3, id="full"),
        pytest.param([[FOREVER]], 503, "no_lane_available", 3, id="slow"),
        pytest.param([[LaneRejected("a", "no")]], 400, "request_rejected", None, id="rejected"),
        pytest.param([[LaneRejected("a", "no")], [LaneRejected("b", "no")]], 400, "request_rejected", None, id="all"),
        pytest.param([[LaneTooLong("a", "9 of 8")]], 400, "context_length_exceeded", None, id="too-long"),
        pytest.param([[LaneTooLong("a", "9 of 8")], [LaneTooLong("b", "9 of 7")]], 400, "context_length_exceeded", None,
                     id="too-long-for-all"),
        pytest.param([[LaneTooLong("a", "9 of 8")], [LaneRejected("b", "no")]], 400, "request_rejected", None,
                     id="too-long-and-rejected"),
        pytest.param([[LaneRejected("a", "no")], [GONE]], 502, "lanes_failed", None, id="rejected-and-gone"),
        pytest.param([[LaneMisconfigured("a", "key")]], 502, "lanes_failed", None, id="misconfigured"),
        pytest.param([[LaneEgressDenied("a", "gate")]], 403, "egress_denied", None, id="egress-denied"),
        pytest.param([[GONE], [LaneUnrecorded("b", "disk full")]], 503, "audit_unavailable", 5, id="unrecorded"),
        pytest.param([["{not json"]], 502, "lanes_failed", None, id="not-json"),
        pytest.param([[]], 502, "lanes_failed", None, id="nothing"),
        pytest.param([[whole("")]], 502, "output_invalid", None, id="empty"),
        pytest.param([[GONE], [AnswerInvalid("b", "bad")]], 502, "output_invalid", None, id="the-last-was-invalid"),
        pytest.param([[AnswerInvalid("a", "bad")], [GONE]], 502, "lanes_failed", None, id="the-last-was-gone"),
    ],
)  # fmt: skip
async def test_when_nobody_answers_the_error_says_whether_to_try_again(
    scripts: list[Any], status: int, code: str, retry: int | None
) -> None:
    scene = Scene(*scripts, unary_s=SHORT, cooldown_s=2.5, last_wait_s=SHORT)
    with pytest.raises(HttpError) as error:
        await scene.run()
    assert (error.value.status, error.value.code, error.value.retry_after_s) == (status, code, retry)
    assert len(scene.asked) == len(scripts)
    assert all(f"{name}: " in error.value.message for name in scene.asked)
    scene.assert_nothing_is_left()


@pytest.mark.parametrize("finish", ["content_filter", "length"])
async def test_an_empty_answer_is_judged_alike_whole_and_in_a_stream(finish: str) -> None:
    empty = Scene([whole(None).replace('"stop"', f'"{finish}"')], [whole("other")])
    answer = await empty.run()
    streamed = Scene([ROLE, END.replace('"stop"', f'"{finish}"')], [ROLE, says("other"), END])
    assert (await streamed.run(stream=True)).lane == answer.lane == "a"
