"""How long dispatch waits for whom: first word, gap, whole answer, absent replicas, and one deadline over all."""

import asyncio

import pytest

from serve.errors import HttpError
from serve.lane_errors import LaneInterrupted
from tests.unit.test_dispatch import END, FOREVER, ROLE, SHORT, Scene, read, says, text_of, trail, whole


async def test_the_first_word_and_the_gap_after_it_have_time_outs_of_their_own() -> None:
    slow_start = Scene([3 * SHORT, ROLE, says("a"), END], first_token_s=30, idle_s=SHORT)
    assert text_of(await read(await slow_start.run(stream=True))) == "a"
    slow_later = Scene([ROLE, says("a"), 6 * SHORT, END], first_token_s=2 * SHORT, idle_s=30)
    assert text_of(await read(await slow_later.run(stream=True))) == "a"
    too_slow = Scene([ROLE, says("a"), FOREVER, END], first_token_s=30, idle_s=SHORT)
    answer = await too_slow.run(stream=True)
    with pytest.raises(LaneInterrupted, match="nothing within"):
        await read(answer)


async def test_lanes_that_stall_share_one_deadline() -> None:
    scene = Scene([FOREVER], [FOREVER], [FOREVER], unary_s=FOREVER)
    with pytest.raises(HttpError) as error:
        await scene.run(deadline=SHORT)
    assert (error.value.status, error.value.code) == (504, "deadline_exceeded")
    assert scene.asked == ["a"]
    scene.assert_nothing_is_left()


async def test_no_lane_is_asked_once_the_deadline_has_passed() -> None:
    scene = Scene([whole("never")])
    with pytest.raises(HttpError) as error:
        await scene.run(deadline=-1)
    assert error.value.code == "deadline_exceeded"
    assert scene.asked == []


async def test_a_stream_that_outlives_the_deadline_is_cut() -> None:
    scene = Scene([ROLE, says("a"), FOREVER], idle_s=FOREVER)
    answer = await scene.run(stream=True, deadline=0.2)
    with pytest.raises(LaneInterrupted, match="deadline_s"):
        await read(answer)
    scene.assert_nothing_is_left()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_our_own_deadline_says_nothing_about_the_lane(stream: bool) -> None:
    """Else whoever reads slowly could have a lane ejected that is well."""
    scene = Scene([ROLE, says("a"), FOREVER] if stream else [FOREVER], [whole("b")], idle_s=30, unary_s=30)

    async def late() -> None:
        with pytest.raises((LaneInterrupted, HttpError)):
            await read(await scene.run(stream=stream, deadline=0.2))

    await asyncio.gather(*(late() for _ in range(8)))
    assert scene.load.is_ready("a")


async def test_a_lane_without_replicas_gets_little_patience_and_no_other_does() -> None:
    scene = Scene([whole("never")], [3 * SHORT, whole("hello")], down_wait_s=SHORT, queue_wait_unary_s=30)
    scene.lanes["a"].takes_s = FOREVER
    scene.load.engine("small", 0, "starting")
    assert trail(await scene.run()) == [("a", "absent"), ("b", "ok")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_lane_that_is_only_cooling_down_gets_its_usual_time(stream: bool) -> None:
    scene = Scene([3 * SHORT, ROLE, says("a"), END] if stream else [3 * SHORT, whole("a")], down_wait_s=SHORT)
    scene.load.cool("a", 60, "it failed before")
    assert trail(await scene.run(stream=stream)) == [("a", "ok")]


async def test_a_stream_that_runs_is_not_hurried_when_its_lane_goes_down() -> None:
    scene = Scene([ROLE, says("hel"), 3 * SHORT, says("lo"), END], idle_s=30, down_wait_s=SHORT)
    answer = await scene.run(stream=True)
    scene.load.cool("a", 60, "another request was rate limited")
    scene.load.engine("small", 0, "its replica is draining")
    assert text_of(await read(answer)) == "hello"
