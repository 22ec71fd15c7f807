"""Spilled requests as concurrent requests, and the service time that turns the one into the other."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.egress import Permit
from serve.errors import LaneOverloaded
from serve.lanes.base import LaneCall, Piece
from serve.lanes.spilled import ServiceTimes, SpilledDemand, TimedLane
from serve.signals.readings import Sensitivity

CALL = LaneCall("local", b"{}", True, Permit(Sensitivity.PUBLIC, frozenset()), "dec_1")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Lane:
    """Says `pieces`, each after `gap` seconds of the clock; then raises `error`."""

    def __init__(self, clock: Clock, pieces: int, gap: float, error: Exception | None = None) -> None:
        self.clock, self.pieces, self.gap, self.error, self.closed = clock, pieces, gap, error, False

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        try:
            for number in range(self.pieces):
                self.clock.now += self.gap
                yield [str(number)]
            if self.error:
                raise self.error
        finally:
            self.closed = True


@given(st.floats(0.1, 100), st.floats(0.05, 60), st.floats(2, 60))
def test_little_s_law(rate: float, service_s: float, window_s: float) -> None:
    clock = Clock()
    demand = SpilledDemand({"small": window_s}, ServiceTimes({"small": service_s}), clock)
    found: dict[str, float] = {}
    for second in range(1, int(window_s) + 60):
        clock.now = 100.0 + second
        found = demand.count({"small": int(rate * second)})
    # Whole requests are counted, at whole seconds.
    assert found.get("small", 0) == pytest.approx(
        rate * service_s, abs=(1 + rate) * service_s / window_s + 1e-6
    )


def test_what_spilled_before_the_window_is_forgotten() -> None:
    clock = Clock()
    demand = SpilledDemand({"small": 10}, ServiceTimes({"small": 4}), clock)
    clock.now += 1
    assert demand.count({"small": 5}) == {"small": 2.0}
    clock.now += 9
    assert demand.count({"small": 5}) == {"small": 2.0}
    clock.now += 10
    assert demand.count({"small": 5}) == {}


def test_an_engine_that_does_not_scale_is_not_counted() -> None:
    demand = SpilledDemand({"small": 10}, ServiceTimes({"small": 4}))
    assert demand.count({"small": 0, "fixed": 50}) == {}


async def test_the_first_answer_replaces_the_assumed_time_and_later_ones_weigh_in() -> None:
    clock, times = Clock(), ServiceTimes({"small": 10})
    for gap in (1.0, 2.0):
        lane = TimedLane(Lane(clock, 2, gap), "small", times, clock)
        assert [piece async for piece in lane.answer(CALL)] == [["0"], ["1"]]
    assert times.mean_s["small"] == pytest.approx(2.0 + 0.2 * (4.0 - 2.0))


async def test_a_refusal_is_not_a_short_answer() -> None:
    clock, times = Clock(), ServiceTimes({"small": 10})
    refusing = TimedLane(Lane(clock, 0, 0, LaneOverloaded("local", "full")), "small", times, clock)
    with pytest.raises(LaneOverloaded):
        [piece async for piece in refusing.answer(CALL)]
    assert times.mean_s["small"] == 10


async def test_closing_it_closes_the_lane_behind_it() -> None:
    clock, times = Clock(), ServiceTimes({"small": 10})
    inner = Lane(clock, 100, 1.0)
    async with aclosing(TimedLane(inner, "small", times, clock).answer(CALL)) as pieces:  # type: ignore[type-var]
        async for _piece in pieces:
            break
    assert inner.closed
    assert times.mean_s["small"] == 1.0
