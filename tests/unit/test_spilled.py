"""Spilled requests as concurrent requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.lanes.spilled import SpilledDemand


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(0.1, 100), st.floats(0.05, 60), st.floats(2, 60))
def test_little_s_law(rate: float, service_s: float, window_s: float) -> None:
    clock = Clock()
    demand = SpilledDemand({"small": window_s}, lambda _: service_s, clock)
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
    demand = SpilledDemand({"small": 10}, lambda _: 4, clock)
    clock.now += 1
    assert demand.count({"small": 5}) == {"small": 2.0}
    clock.now += 9
    assert demand.count({"small": 5}) == {"small": 2.0}
    clock.now += 10
    assert demand.count({"small": 5}) == {}


def test_an_engine_that_does_not_scale_is_not_counted() -> None:
    demand = SpilledDemand({"small": 10}, lambda _: 4)
    assert demand.count({"small": 0, "fixed": 50}) == {}
