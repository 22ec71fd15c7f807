"""Overflow: when a request goes past an engine, when it comes back, and what is counted."""

import json
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from serve.config import Config
from serve.decision import LaneState
from serve.dispatch import Dispatcher
from serve.lane_errors import LaneError, LaneMisconfigured, LaneUnavailable
from serve.lanes.load import LaneLoad
from serve.policy import decide
from serve.signals.readings import Sensitivity, SensitivityReading
from serve.wish import Wish
from tests.unit.test_health import Clock
from tests.unit.test_policy import signals, view


def setting(routers: int = 1, **dispatch: Any) -> Config:
    """One engine with 4 slots and a queue of 4 behind two lanes, and a cloud."""
    engine = {"kind": "engine", "engine": "small", "context": 8192}
    cloud = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9", "location": "global"}
    return Config.model_validate(
        {
            "server": {"router_replicas": routers},
            "engines": {"small": {"model": "m", "max_ongoing_requests": 4, "max_queued_requests": 4}},
            "lanes": [
                engine | {"name": "general"},
                engine | {"name": "tools"},
                cloud | {"name": "cloud", "context": 8192, "max_in_flight": 2},
            ],
            "policy": {"rules": [{"name": "default", "prefer": ["general"], "because": "the only rule"}]},
            "dispatch": {"queue_wait_s": 0.5, "queue_wait_unary_s": 3} | dispatch,
        }
    )


class Busy:
    """A load whose calls last until they are told to end, each after the same time of service."""

    def __init__(self, config: Config, service_s: float = 1.0) -> None:
        self.config, self.clock = config, Clock()
        self.load = LaneLoad(config, self.clock)
        self._open: list[ExitStack] = []
        self.start(1)
        self.clock.now += service_s
        self.end(1)

    def start(self, calls: int, lane: str = "general") -> None:
        for _ in range(calls):
            stack = ExitStack()
            stack.enter_context(self.load.call(lane)).take()
            self._open.append(stack)

    def end(self, calls: int) -> None:
        for _ in range(calls):
            self._open.pop(0).close()

    def chain(self, level: Sensitivity = Sensitivity.PUBLIC, *, stream: bool = True) -> tuple[str, ...]:
        read = signals(sensitivity=SensitivityReading(level, ()))
        decision = decide(read, view(), Wish(), self.load.states(interactive=stream), self.config)
        if decision.spilled_from is not None:
            self.load.spill(decision.spilled_from)
        return decision.chain


LOCAL, AWAY = ("general", "tools", "cloud"), ("cloud", "general", "tools")


def test_a_free_slot_is_always_used() -> None:
    busy = Busy(setting(), service_s=1000)
    busy.start(3)
    assert busy.chain() == LOCAL


@pytest.mark.parametrize(
    ("service_s", "calls", "stream", "away"),
    [
        pytest.param(1.9, 4, True, False, id="a-short-wait"),
        pytest.param(2.1, 4, True, True, id="too-long-for-a-stream"),
        pytest.param(2.1, 4, False, False, id="not-for-a-whole-answer"),
        pytest.param(12.1, 4, False, True, id="too-long-for-both"),
        pytest.param(0.001, 8, False, True, id="the-queue-is-full"),
    ],
)
def test_the_predicted_wait_is_weighed_against_the_latency_class(
    service_s: float, calls: int, stream: bool, away: bool
) -> None:
    busy = Busy(setting(), service_s)
    busy.start(calls)
    assert busy.chain(stream=stream) == (AWAY if away else LOCAL)


def test_lanes_of_one_engine_are_full_together() -> None:
    busy = Busy(setting())
    busy.start(8, "tools")
    assert busy.load.states()["general"] is busy.load.states()["tools"] is LaneState.FULL


def test_confidential_requests_stay_whatever_the_wait() -> None:
    busy = Busy(setting(), service_s=1000)
    busy.start(8)
    assert busy.chain(Sensitivity.CONFIDENTIAL) == ("general", "tools")


def test_the_first_answer_replaces_the_configured_time_and_later_ones_weigh_in() -> None:
    scaled = json.loads(setting().canonical)
    scaled["engines"]["small"]["autoscaling"] = {"service_s": 10, "target_ongoing_requests": 2}
    load = LaneLoad(Config.model_validate(scaled), clock := Clock())
    assert load.service_s("small") == 10
    for seconds in (1.0, 2.0):
        with load.call("general") as call:
            clock.now += 100  # in the queue
            call.take()
            clock.now += seconds
    assert load.service_s("small") == pytest.approx(1.0 + 0.2 * (2.0 - 1.0))


def test_a_call_that_nobody_took_or_that_broke_is_no_short_answer() -> None:
    busy = Busy(setting(), service_s=5)
    with busy.load.call("general"):
        pass
    with suppress(LaneError), busy.load.call("tools") as call:
        call.take()
        raise LaneUnavailable("tools", "it broke")
    assert busy.load.service_s("small") == 5


def test_what_spills_is_counted_per_engine_and_only_rises() -> None:
    busy = Busy(setting(), service_s=100)
    assert busy.load.spills() == {"small": 0}
    busy.start(4)
    for _ in range(3):
        busy.chain()
    assert busy.load.spills() == {"small": 3}
    assert busy.load.spill_rate("general") == pytest.approx(0.3)
    busy.clock.now += 60
    assert busy.load.spill_rate("general") == 0
    assert busy.load.spills() == {"small": 3}


def test_replicas_and_other_routers_change_how_much_fits() -> None:
    more = Busy(setting(), service_s=100)
    more.load.engine("small", 3, "healthy")
    more.start(11)
    assert more.chain() == LOCAL
    more.start(1)
    assert more.chain() == AWAY
    shared = Busy(setting(routers=2), service_s=100)
    shared.start(2)
    assert shared.chain() == AWAY


def test_an_engine_without_replicas_counts_as_spilled_too() -> None:
    busy = Busy(setting())
    busy.load.engine("small", 0, "starting")
    assert busy.chain() == AWAY
    assert busy.load.spills() == {"small": 1}


def test_while_it_overflows_less_is_let_back_until_nothing_spilled_for_a_while() -> None:
    busy = Busy(setting(overflow={"low": 0.5, "dwell_s": 30}), service_s=1.6)
    busy.start(4)
    assert busy.chain() == LOCAL, "0.4 s is within 0.5 s"
    busy.start(1)
    assert busy.chain() == AWAY
    busy.end(1)
    assert busy.chain() == AWAY, "0.4 s is over half of 0.5 s"
    busy.end(1)
    assert busy.chain() == LOCAL, "a free slot is used at once"
    busy.start(1)
    busy.clock.now += 31
    assert busy.chain() == LOCAL


def test_the_newest_dispatchers_settings_count() -> None:
    busy = Busy(setting(), service_s=2.1)
    busy.start(4)
    assert busy.load.states(interactive=True)["general"] is LaneState.FULL
    Dispatcher({}, busy.load, setting(queue_wait_s=2, cooldown_s=60))
    assert busy.load.states(interactive=True)["general"] is LaneState.READY
    busy.load.failed("cloud", LaneMisconfigured("cloud", "key"))
    assert busy.load.numbers("cloud")["ejected_until_s"] == 60


def test_steady_overload_is_one_change_of_direction_and_the_engine_stays_busy() -> None:
    busy = Busy(setting(), service_s=2)
    ends: list[float] = []
    changes, before, here, asked = 0, False, 0, 0
    for step in range(1200):
        busy.clock.now += 0.1
        while ends and ends[0] <= busy.clock.now:
            ends.pop(0)
            busy.end(1)
        if step % 2:
            continue
        asked += 1
        if busy.chain()[0] == "general":
            here += 1
            busy.start(1)
            ends.append(max(busy.clock.now, ends[-4] if len(ends) >= 4 else 0) + 2)
        overflows = busy.load.overflows("general")
        changes, before = changes + (overflows is not before), overflows
    assert changes == 1
    assert here >= 0.95 * 120 * 4 / 2 - 8, "four slots, two seconds each, for two minutes"
    assert here < asked / 2, "and the rest went elsewhere"
