"""The autoscaling policy: how many replicas, for whom, and what it does with what routers tell it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.serve._private.common import DeploymentID
from ray.serve.autoscaling_policy import _apply_autoscaling_config
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from serve import app
from serve.config import Autoscaling, EngineAutoscaling, load
from serve.engine import EngineDeployment
from serve.scaling import FRESH_S, ByQueueAndSpill, document, replicas, spilled

demands = st.floats(0, 1e6)
targets = st.floats(0.1, 1000)
counts = st.integers(0, 200)


@st.composite
def bounds(draw: st.DrawFn) -> tuple[int, int]:
    lowest = draw(st.integers(0, 50))
    return lowest, draw(st.integers(max(1, lowest), 200))


@given(demands, counts, targets, bounds())
def test_the_answer_is_within_its_bounds(
    demand: float, current: int, target: float, limits: tuple[int, int]
) -> None:
    lowest, highest = limits
    assert lowest <= replicas(demand, current, target=target, lowest=lowest, highest=highest) <= highest


@given(demands, demands, counts, targets, bounds())
def test_more_demand_never_means_fewer_replicas(
    one: float, other: float, current: int, target: float, limits: tuple[int, int]
) -> None:
    less, more = sorted((one, other))
    lowest, highest = limits
    few = replicas(less, current, target=target, lowest=lowest, highest=highest)
    assert few <= replicas(more, current, target=target, lowest=lowest, highest=highest)


@given(demands, counts, targets, bounds())
def test_the_same_demand_asked_again_changes_nothing(
    demand: float, current: int, target: float, limits: tuple[int, int]
) -> None:
    lowest, highest = limits
    once = replicas(demand, current, target=target, lowest=lowest, highest=highest)
    assert replicas(demand, once, target=target, lowest=lowest, highest=highest) == once


@given(st.floats(0.1, 1e3), counts, targets)
def test_a_demand_that_wavers_by_less_than_the_slack_never_goes_back_and_forth(
    demand: float, current: int, target: float
) -> None:
    seen = [current]
    for factor in (1.0, 1.19, 1.0, 1.19, 1.0):
        seen.append(replicas(demand * factor, seen[-1], target=target, lowest=0, highest=10**6))
    assert len(set(seen[2:])) == 1


@pytest.mark.parametrize(
    ("demand", "current", "wanted"),
    [
        pytest.param(0, 3, 0, id="nobody-asks"),
        pytest.param(0.01, 0, 1, id="somebody-asks-at-zero"),
        pytest.param(5, 1, 1, id="one-is-enough"),
        pytest.param(5.1, 1, 2, id="one-is-not-enough"),
        pytest.param(8.5, 3, 3, id="two-would-be-nearly-full"),
        pytest.param(8.3, 3, 2, id="two-would-have-room"),
        pytest.param(1000, 1, 8, id="at-most-the-highest"),
    ],
)
def test_replicas(demand: float, current: int, wanted: int) -> None:
    assert replicas(demand, current, target=5, lowest=0, highest=8) == wanted


def test_what_every_router_spilled_is_added_up() -> None:
    now = 1000.0
    told = [document({"Engine-a": 2.5, "Engine-b": 9}, now), document({"Engine-a": 1}, now - FRESH_S)]
    assert spilled(told, "Engine-a", now) == 3.5
    assert spilled(told, "Engine-c", now) == 0


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(document({"Engine-a": 5}, 1000 - FRESH_S - 1), id="old"),
        pytest.param(document({"Engine-a": 5}, 1000 + FRESH_S + 1), id="from-the-future"),
        pytest.param(document({"Engine-a": float("nan")}, 1000), id="nan"),
        pytest.param(document({"Engine-a": float("inf")}, 1000), id="endless"),
        pytest.param(document({"Engine-a": -5}, 1000), id="negative"),
        pytest.param(document({"Engine-a": 5}, float("nan")), id="no-time"),
        pytest.param(json.dumps({"at": 1000, "demand": {"Engine-a": "many"}}).encode(), id="a-word"),
        pytest.param(b'{"at": 1000, "demand": 3}', id="no-mapping"),
        pytest.param(b"[]", id="no-document"),
        pytest.param(b"\xff", id="no-text"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_document_that_is_old_or_broken_counts_nothing(raw: bytes) -> None:
    assert spilled([raw, document({"Engine-a": 1}, 1000)], "Engine-a", 1000) == 1


SETTINGS = EngineAutoscaling(
    min_replicas=0, max_replicas=4, target_ongoing_requests=5, downscale_to_zero_delay_s=60
)


def context(*, requests: float, running: int, target: int, state: dict[str, Any] | None = None) -> Any:
    """What the controller hands to a policy of an engine called `small`."""
    config: AutoscalingConfig = app._scaling(SETTINGS, 1)["autoscaling_config"]
    return AutoscalingContext(
        deployment_id=DeploymentID(name="Engine-small", app_name="pointsman"),
        deployment_name="Engine-small",
        app_name="pointsman",
        current_num_replicas=running,
        target_num_replicas=target,
        running_replicas=[],
        total_num_requests=requests,
        total_queued_requests=0,
        capacity_adjusted_min_replicas=config.min_replicas,
        capacity_adjusted_max_replicas=config.max_replicas,
        policy_state=state or {},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=time.time(),
        config=config,
        aggregated_metrics={},
        raw_metrics={},
    )


def telling(demand: float) -> Callable[[str], list[bytes]]:
    return lambda _application: [document({"Engine-small": demand}, time.time())]


def test_spilled_requests_are_demand_as_queued_ones_are() -> None:
    policy = ByQueueAndSpill(telling(8.0))
    assert policy(context(requests=5, running=1, target=1)) == (3, {})


def test_one_spilled_request_starts_an_engine_that_sleeps_without_delay() -> None:
    policy = _apply_autoscaling_config(ByQueueAndSpill(telling(0.1)))
    assert policy(context(requests=0, running=0, target=0))[0] == 1


def test_one_waiting_request_starts_an_engine_that_sleeps_without_delay() -> None:
    policy = _apply_autoscaling_config(ByQueueAndSpill(telling(0)))
    assert policy(context(requests=1, running=0, target=0))[0] == 1


def test_an_engine_on_its_way_is_not_called_off_when_nobody_waits_any_more() -> None:
    policy = _apply_autoscaling_config(ByQueueAndSpill(telling(0)))
    assert policy(context(requests=0, running=0, target=2))[0] == 2


def test_the_last_replica_is_held_before_it_goes() -> None:
    policy = _apply_autoscaling_config(ByQueueAndSpill(telling(0)))
    held, state = policy(context(requests=0, running=1, target=1))
    assert held == 1
    later = dict.fromkeys(state, 0) | {
        name: value - 60 for name, value in state.items() if value and value > 1
    }
    assert policy(context(requests=0, running=1, target=1, state=state | later))[0] == 0


def test_a_store_that_cannot_be_read_leaves_serves_own_count() -> None:
    asked: list[str] = []

    def broken(application: str) -> list[bytes]:
        asked.append(application)
        raise RuntimeError("the store is away")

    policy = ByQueueAndSpill(broken)
    assert policy(context(requests=11, running=1, target=1)) == (3, {})
    assert policy(context(requests=11, running=1, target=1)) == (3, {})
    assert asked == ["pointsman"]


def test_a_controller_that_has_no_pointsman_can_run_the_policy() -> None:
    config: AutoscalingConfig = app._scaling(SETTINGS, 1)["autoscaling_config"]
    assert config.policy.policy_function == "serve.scaling:ByQueueAndSpill"
    alone = (
        "import sys; from ray import cloudpickle; policy = cloudpickle.loads(sys.stdin.buffer.read());"
        'told = b\'{"at": 1, "demand": {"e": 4}}\';'
        "print(policy.__call__.__globals__['spilled']([told], 'e', 1), 'serve' in sys.modules)"
    )
    raw = config.policy.get_serialized_policy_def()
    done = subprocess.run(
        [sys.executable, "-c", alone], input=raw, capture_output=True, check=True, timeout=120
    )
    assert done.stdout.decode().split() == ["4.0", "False"]


def test_serves_own_policy_where_the_configuration_says_so() -> None:
    for settings in (SETTINGS.model_copy(update={"policy": "queue"}), Autoscaling(target_ongoing_requests=5)):
        config: AutoscalingConfig = app._scaling(settings, 1)["autoscaling_config"]
        assert config.policy.is_default_policy_function()
        assert config.target_ongoing_requests == 5
        assert config.metrics_interval_s < config.look_back_period_s
    assert app._scaling(None, 3) == {"num_replicas": 3}


def test_a_replica_that_goes_has_time_for_the_longest_answer() -> None:
    settings = load("configs/gpu-1.yaml")
    options = app._engine(settings, "general", EngineDeployment, "code")._bound_deployment._deployment_config
    assert options.graceful_shutdown_timeout_s > settings.dispatch.deadline_s
    assert options.autoscaling_config is not None
    assert options.autoscaling_config.policy.policy_function == "serve.scaling:ByQueueAndSpill"
