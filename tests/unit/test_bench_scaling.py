"""What bench.scaling makes of what it saw: figures from a made-up run."""

import random
from pathlib import Path

import pytest

from bench import scaling_plot
from bench.client import Sample
from bench.scaling import Arrival, Run, arrivals, main, overflow, samples, summary


def arrival(at: float, seconds: float, lane: str, error: str | None = None) -> Arrival:
    return Arrival(at, at + seconds, Sample("stub", seconds, 0.5, error=error, headers={"lane": lane}))


def replicas(*counts: int) -> list[dict[str, float]]:
    return [{"at": at, "running": running, "starting": 0} for at, running in enumerate(counts)]


def test_the_figures_of_a_run() -> None:
    seen = [
        arrival(0.5, 2, "local"),
        arrival(2.5, 2, "cloud"),
        arrival(4.25, 2, "cloud"),
        arrival(5, 1, "local"),
    ]
    found = summary(Run(seen, replicas(1, 1, 1, 1, 2, 3, 3, 2)), step_at=2)
    assert found == {
        "requests": 4,
        "failed": 0,
        "local": 2,
        "cloud": 2,
        "first_spill_s": 0.5,
        "first_new_replica_s": 2,
        "last_spill_s": 2.2,
        "most_replicas": 3,
        "replicas_at_the_end": 2,
        "direction_changes": 1,
    }


def test_a_failed_request_is_neither_local_nor_cloud() -> None:
    (first, *_rest) = samples(Run([arrival(0.5, 2, "", error="503 overloaded")], replicas(1)))
    assert (first["offered"], first["failed"], first["local"], first["cloud"]) == (1, 1, 0, 0)


def test_every_second_says_who_is_under_way_and_how_many_replicas_there_are() -> None:
    seen = samples(Run([arrival(0.5, 2, "local"), arrival(1.5, 2, "cloud")], replicas(1, 1, 2)))
    assert [second["in_flight_local"] for second in seen] == [0, 1, 1, 0]
    assert [second["in_flight_cloud"] for second in seen] == [0, 0, 1, 1]
    assert [second["running"] for second in seen] == [1, 1, 2, 2]


def test_arrivals_follow_the_rates_and_repeat_with_the_seed() -> None:
    rates = [5.0] * 400 + [20.0] * 400
    found = list(arrivals(rates, random.Random(7)))
    assert found == sorted(found) == list(arrivals(rates, random.Random(7)))
    early = sum(at < 400 for at in found)
    assert early / 400 == pytest.approx(5, rel=0.01)
    assert (len(found) - early) / 400 == pytest.approx(20, rel=0.01)


def test_a_mean_of_neighbours() -> None:
    assert scaling_plot.smooth([0, 3, 6, 0]) == [1.5, 3, 3, 3]


@pytest.mark.parametrize("counts", [(1, 1, 2, 3), (1, 1)], ids=["scaled", "not-scaled"])
def test_the_picture(tmp_path: Path, counts: tuple[int, ...]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib belongs to the development environment")
    run = Run([arrival(0.5, 2, "local"), arrival(1.5, 2, "cloud")], replicas(*counts))
    settings = {
        "before_s": 1,
        "during_s": 1,
        "after_s": 2,
        "base": 1,
        "step": 4,
        "capacity_per_s": 1,
    }
    result = {"settings": settings | {"policy": "queue"}, "summary": summary(run, 1), "samples": samples(run)}
    scaling_plot.draw(result, tmp_path / "run.svg")
    assert "replicas" in (tmp_path / "run.svg").read_text() or (tmp_path / "run.svg").stat().st_size > 10_000


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--plot" in capsys.readouterr().out


def test_what_callers_notice_of_an_overflow() -> None:
    def one(at: float, lane: str, reason: str = "local_first", first_s: float = 0.2) -> Arrival:
        headers = {"lane": lane, "reason": reason, "overhead-ms": "12.5"}
        return Arrival(at, at + 2, Sample("stub", 2, first_s, headers=headers))

    calm = [one(0.5, "local"), one(1.5, "local")]
    step = [one(2.5, "local"), one(3.0, "cloud", "overflow", 0.3), one(3.5, "cloud", first_s=0.25)]
    late = [one(5.5, "cloud", "overflow"), Arrival(6, 6, Sample("stub", error="503 no_lane_available"))]
    found = overflow(Run([*calm, *step, *late]), 2, 4)
    assert (found["refused"], found["first_token_p99_ratio"], found["back_to_local_s"]) == (1, 1.5, 1.5)
    assert (found["spilled_without_asking"], found["spilled_after_asking"], found["overflows"]) == (2, 1, 1)
    assert found["decided_ms"]["p99"] == 12.5
