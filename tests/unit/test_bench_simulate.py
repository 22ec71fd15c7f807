"""The simulation: its queues against theory and by hand, its points by their promises, its input by its errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.simulate import __main__ as simulate
from bench.simulate import calibration, fleet, stations
from bench.simulate.calibration import Batched, Calibration
from bench.simulate.erlang import mean_wait_s, waiting_probability
from bench.simulate.fleet import Fleet, Work
from bench.simulate.point import Question, one_of_each, shape
from bench.simulate.point import simulate as point_of

WORLD: dict[str, Any] = {
    "engines": {
        "small": {
            "source": "made up", "slots": 4, "first_token_s": 0.1, "prefill_s_per_token": 0.0,
            "gap_alone_s": 0.01, "gap_full_s": 0.02, "usd_per_hour": 1.0,
        }
    },
    "router": {"source": "made up", "cpu_s": 0.02},
    "proxy": {"source": "made up", "per_s": 10_000},
    "ledger": {"source": "made up", "commit_s": 0.002, "entry_s": 0.001, "most": 100},
    "audit": {"source": "made up", "commit_s": 0.002, "entry_s": 0.0005, "most": 100},
    "cloud": {"source": "made up", "first_token_s": 0.5, "gap_s": 0.01, "input_usd": 1.0, "output_usd": 2.0},
    "lengths": {"source": "made up", "input": [100, 100], "output": [50, 150]},
}  # fmt: skip
ONE = Question(rate=20, load=0.7, patience_s=0.5, cloud_share=0.2, requests=4_000, seed=1)


@pytest.fixture
def world() -> Calibration:
    return Calibration.model_validate(WORLD)


def exponential(rate: float, service_s: float, count: int) -> Work:
    random = np.random.default_rng(7)
    arrived = np.cumsum(random.exponential(1 / rate, count))
    return Work(arrived, random.exponential(service_s, count), np.zeros(count))


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (4, 0.8), (16, 0.8)])
def test_one_replica_waits_as_erlang_says(servers: int, load: float) -> None:
    rate, count = servers * load, 60_000
    pool = Fleet(1, servers, 0.0, 0.0, patience_s=float("inf"))
    served = fleet.run(exponential(rate, 1.0, count), pool, np.random.default_rng(1))
    waited = served.waited_s[count // 10 :]
    assert waited.mean() == pytest.approx(mean_wait_s(rate, 1.0, servers), rel=0.12)
    assert (waited > 0).mean() == pytest.approx(waiting_probability(rate, servers), rel=0.08)
    assert served.busy_share == pytest.approx(load, rel=0.03)
    assert not served.spilled.any()


def test_erlang_by_the_textbook() -> None:
    assert waiting_probability(0.5, 1) == pytest.approx(0.5)
    assert waiting_probability(1.0, 2) == pytest.approx(1 / 3)  # two servers, half busy
    assert mean_wait_s(0.5, 1.0, 1) == pytest.approx(1.0)
    assert mean_wait_s(3.0, 1.0, 2) == float("inf")
    assert 0 < waiting_probability(950, 1000) < 1


def test_one_server_waits_as_pollaczek_and_khinchin_say() -> None:
    arrived = np.cumsum(np.random.default_rng(3).exponential(1.0, 100_000))
    left = stations.in_order(arrived, 0.8)
    assert (left - arrived).mean() == pytest.approx(0.8 + 0.8 * 0.8 / (2 * 0.2), rel=0.08)
    assert (np.diff(left) >= 0.8 - 1e-6).all()


def test_what_comes_during_a_commit_goes_into_the_next_one() -> None:
    writer = Batched(source="x", commit_s=1.0, entry_s=0.5, most=2)
    done = stations.together(np.array([0.0, 0.1, 0.2, 0.3, 9.0]), writer)
    assert done.tolist() == [1.5, 3.5, 3.5, 5.0, 10.5]
    assert writer.per_s == 1.0


def test_commit_and_entry_are_found_again_from_what_a_bench_measures() -> None:
    writer = Batched(source="x", commit_s=0.004, entry_s=0.001, most=256)
    pace = 64 / (writer.commit_s + 64 * writer.entry_s)
    assert calibration.fitted(writer.commit_s + writer.entry_s, pace, 64) == pytest.approx((0.004, 0.001))


def test_two_choices_find_the_free_replica() -> None:
    count = 20_000
    work = Work(np.arange(count) * 0.02, np.full(count, 1.0), np.zeros(count))
    few = fleet.run(work, Fleet(8, 10, 0, 0, float("inf")), np.random.default_rng(1))
    assert few.busy_share == pytest.approx(0.625, rel=0.02)
    assert np.nanquantile(few.waited_s, 0.99) == 0


def test_more_than_the_replicas_can_do_spills_and_the_rest_is_served_in_time(world: Calibration) -> None:
    light, heavy = (
        point_of(Question(20, load, 0.5, 0.2, 4_000, 1), world.engines["small"], world) for load in (0.5, 1.5)
    )
    assert light.spill_share < 0.02
    assert 0.2 < heavy.spill_share < 0.5
    assert heavy.engine_busy > 0.9
    assert heavy.cloud_usd_per_hour > 3 * light.cloud_usd_per_hour
    assert heavy.first_token_p99_s < 5
    assert heavy.engine_usd_per_hour == light.engine_usd_per_hour == light.shape.replicas


def test_cells_come_where_one_database_is_not_enough(world: Calibration) -> None:
    small = shape(ONE, world.engines["small"], world)
    large = shape(Question(50_000, 0.8, 0.5, 0.2, 100, 1), world.engines["small"], world)
    assert small.cells == 1
    assert large.cells > 20
    assert large.rate / large.cells <= 0.75 * world.audit.per_s
    assert one_of_each(large.rate, 0.2, world)["audit"] > 1
    assert large.routers >= large.rate * world.router.cpu_s


def test_the_same_seed_gives_the_same_point(world: Calibration) -> None:
    assert point_of(ONE, world.engines["small"], world) == point_of(ONE, world.engines["small"], world)


def test_the_command_writes_points_with_the_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out, plot = (tmp_path / name for name in ("c.json", "out.json", "plot.svg"))
    source.write_text(json.dumps(WORLD))
    arguments = [
        "--calibration",
        str(source),
        "--rates",
        "20,4000",
        "--loads",
        "0.5,0.9",
        "--requests",
        "1000",
    ]
    assert simulate.main([*arguments, "--out", str(out), "--plot", str(plot)]) == 0
    result = json.loads(out.read_text())
    assert len(result["points"]["small"]) == 4
    assert result["calibration"]["router"]["source"] == "made up"
    assert "made up" in capsys.readouterr().out
    assert plot.read_text().count("<svg") == 1


def test_the_shipped_calibration_says_of_everything_where_it_is_from() -> None:
    parts = calibration.parts(calibration.load(simulate.SHIPPED))
    assert all(
        "bench/results/" in source or "ASSUMED" in source or "shared/data" in source for _, source in parts
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(
            {"router": {"source": "x", "cpu_s": 0}}, "router.cpu_s: Input should be greater", id="zero"
        ),
        pytest.param({"router": {"cpu_s": 1}}, "router.source: Field required", id="no-source"),
        pytest.param({"extra": 1}, "extra: Extra inputs", id="unknown"),
    ],
)
def test_a_wrong_calibration_is_refused_by_its_place(
    change: dict[str, Any], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(WORLD | change))
    with pytest.raises(SystemExit):
        simulate.main(["--calibration", str(path)])
    assert fault in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        pytest.param(["--calibration", "nowhere.json"], "nowhere.json: No such file", id="no-file"),
        pytest.param(["--engine", "nobody"], "no nobody in the calibration", id="engine"),
        pytest.param(["--rates", "0"], "0 is not a list of numbers above 0", id="rate-0"),
        pytest.param(["--loads", "a"], "a is not a list of numbers above 0", id="load"),
        pytest.param(["--cloud-share", "1"], "--cloud-share: from 0 to below 1", id="cloud-share"),
        pytest.param(["--requests", "5"], "--requests must be 100 or more", id="requests"),
    ],
)
def test_wrong_options_are_named(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        simulate.main(arguments)
    assert ended.value.code == 2
    assert fault in " ".join(capsys.readouterr().err.split())
