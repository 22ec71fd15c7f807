"""Whatever lanes do, a request ends, asks nobody outside its chain and leaves nothing behind."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from serve.dispatch import Answer
from serve.errors import HttpError
from serve.lane_errors import (
    AnswerInvalid,
    LaneAbsent,
    LaneFull,
    LaneInterrupted,
    LaneMisconfigured,
    LaneOverloaded,
    LaneProtocolError,
    LaneRateLimited,
    LaneRejected,
    LaneTimeout,
    LaneUnavailable,
    ReplicaDied,
)
from tests.unit.test_dispatch import END, FOREVER, NAMES, ROLE, Scene, read, says, whole

TINY = 0.004
failures = st.sampled_from(
    [
        AnswerInvalid("x", "bad"),
        LaneAbsent("x", "starting"),
        LaneFull("x", "full"),
        LaneInterrupted("x", "cut"),
        LaneMisconfigured("x", "key"),
        LaneOverloaded("x", "503", 0.0),
        LaneProtocolError("x", "odd"),
        LaneRateLimited("x", "429", 0.001),
        LaneRejected("x", "no"),
        LaneTimeout("x", "slow"),
        LaneUnavailable("x", "gone"),
        ReplicaDied("x", "died"),
    ]
)
pauses = st.sampled_from([0.0, TINY / 2, FOREVER])
endings = failures | st.sampled_from(["good", "role", "nothing", "garbage"])
plays = st.lists(st.tuples(pauses, endings), min_size=1, max_size=3)


def script(stream: bool, play: tuple[float, Any]) -> list[Any]:
    pause, ending = play
    begin: list[Any] = [pause] if pause else []
    if not isinstance(ending, str):
        return [*begin, ending]
    good = [ROLE, says("hello"), END] if stream else [whole("hello")]
    ends: dict[str, list[Any]] = {"good": good, "role": [ROLE], "nothing": [], "garbage": ["{not json"]}
    return begin + ends[ending]


async def outcome(scene: Scene, chain: tuple[str, ...], stream: bool) -> Answer | HttpError:
    try:
        return await asyncio.wait_for(scene.run(chain=chain, stream=stream), 30)
    except HttpError as error:
        return error


@settings(deadline=None, max_examples=150)
@given(
    st.tuples(plays, plays, plays),
    st.permutations(NAMES).flatmap(lambda names: st.integers(1, 3).map(lambda n: tuple(names[:n]))),
    st.lists(st.sampled_from([0.0, FOREVER]), min_size=3, max_size=3),
    st.booleans(),
    st.sampled_from([None, TINY / 4]),
    st.sampled_from([0, 2, 100]),
)
def test_a_request_always_ends_within_its_chain_and_leaves_nothing_behind(
    lanes: tuple[list[Any], ...],
    chain: tuple[str, ...],
    takes: list[float],
    stream: bool,
    hedge_after_s: float | None,
    floor: int,
) -> None:
    async def run() -> None:
        scene = Scene(
            *(script(stream, plays[0]) for plays in lanes),
            first_token_s=TINY,
            unary_s=TINY,
            idle_s=TINY,
            queue_wait_s=TINY,
            queue_wait_unary_s=TINY,
            last_wait_s=0.25,
            hedge_after_s=hedge_after_s,
            retries={"share": 0, "floor": floor},
        )
        for name, plays, takes_s in zip(NAMES, lanes, takes, strict=True):
            scene.lanes[name].later = [script(stream, play) for play in plays[1:]]
            scene.lanes[name].takes_s = takes_s
        ended = await outcome(scene, chain, stream)
        if isinstance(ended, Answer):
            assert ended.lane in chain
            assert ended.attempts[-1].lane == ended.lane
            if ended.chunks is not None:
                await read(ended)
        else:
            assert ended.status in (400, 502, 503)
            assert {lane for lane, _, _ in ended.tried} <= set(chain)
        assert set(scene.asked) <= set(chain)
        scene.assert_nothing_is_left()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
