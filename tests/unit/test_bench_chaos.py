"""How the chaos suite counts: verdicts on real answers, recovery, slopes. No Ray."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bench.chaos import engine, figures, scene
from bench.chaos.faults import FAULTS
from bench.chaos.figures import Row, row
from bench.chaos.lanes import Lane
from bench.chaos.rig import Rig
from bench.chaos.traffic import Load, Outcome, Traffic, ask, client
from bench.machine import ROOT
from tests.support.serving import config, serving
from tests.support.upstream import ThreadedUpstream


@pytest.fixture
def cloud() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as upstream:
        yield upstream


def asked(lanes: dict[str, str], cloud: ThreadedUpstream, *, stream: bool, retries: int = 0) -> Outcome:
    async def once(url: str) -> Outcome:
        async with client(url, retries) as sdk:
            return await ask(sdk, Load(), "000007", stream)

    with ThreadedUpstream() as local, serving(config(local.url, cloud.url, models=lanes)) as url:
        return asyncio.run(once(url))


ALL = ("local-general", "local-tools", "cloud-openai", "cloud-anthropic")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(
    ("fault", "verdict"),
    [("ok", "right"), ("500", "error"), ("tool_bare", "right"), ("long_50", "lost")],
)
def test_a_verdict_reads_every_word(fault: str, verdict: str, stream: bool, cloud: ThreadedUpstream) -> None:
    outcome = asked(dict.fromkeys(ALL, fault), cloud, stream=stream)
    assert (outcome.verdict, outcome.stream) == (verdict, stream)


@pytest.mark.parametrize("fault", ["err_in_stream_2", "no_done"])
def test_a_cut_stream_is_an_error_that_says_so(fault: str, cloud: ThreadedUpstream) -> None:
    outcome = asked(dict.fromkeys(ALL, fault), cloud, stream=True)
    assert (outcome.verdict, outcome.code) == ("error", "upstream_interrupted")


def test_a_request_that_nobody_takes_is_lost() -> None:
    async def refused() -> Outcome:
        async with client("http://127.0.0.1:9", 0) as sdk:
            return await ask(sdk, Load(), "000007", False)

    assert asyncio.run(refused()).verdict == "lost"


def test_falling_back_and_asking_again_are_told_apart(cloud: ThreadedUpstream) -> None:
    fell = asked({"local-general": "500", "local-tools": "500"}, cloud, stream=False)
    assert (fell.verdict, fell.retries, fell.lane, fell.attempts) == ("right", 0, "cloud-openai", 2)
    garbled = dict.fromkeys(ALL, "bad_json") | {"cloud-openai": "500_then_ok"}
    again = asked(garbled, cloud, stream=False, retries=2)
    assert (again.verdict, again.retries) == ("right", 1)


def outcome(started: float, seconds: float, verdict: str = "right") -> Outcome:
    return Outcome(False, started, started + seconds, verdict)  # type: ignore[arg-type]


def test_recovery_ends_with_the_last_disturbed_request() -> None:
    healthy = [outcome(t / 10, 0.1) for t in range(50)]
    assert figures.recovery([*healthy, outcome(5, 0.1)], [4.95]) == 0
    assert figures.recovery([*healthy, outcome(5, 3)], [4.95]) == pytest.approx(3.05)
    assert figures.recovery([*healthy, outcome(6, 0.5, "lost")], [4.95]) == pytest.approx(1.55)


def test_each_strike_recovers_by_itself() -> None:
    found = [outcome(0, 0.1), outcome(1, 2, "error"), outcome(11, 1, "error")]
    assert figures.recovery(found, [1.0, 10.0]) == 2


def test_slow_is_measured_against_the_time_before_the_strike() -> None:
    assert figures.slow_from([outcome(0, 0.5), outcome(1, 0.5)], [3.0]) == 2
    assert figures.slow_from([outcome(0, 0.01)], [3.0]) == figures.SLOW_FLOOR_S
    assert figures.slow_from([], [3.0]) == figures.SLOW_FLOOR_S


def test_a_row_counts_the_three_verdicts_apart() -> None:
    found = row("x", [outcome(0, 1), outcome(0, 1, "error"), outcome(0, 1, "lost")], [0.5], 3)
    assert (found.requests, found.errors, found.lost, found.strikes, found.in_flight) == (3, 1, 1, 1, 3)
    assert figures.visible_share([found]) == (2, 3)
    found.invisible = False
    assert figures.visible_share([found]) == (0, 0)


@pytest.mark.parametrize(
    ("points", "slope"), [([], 0), ([(1, 5.0)], 0), ([(0, 1.0), (10, 6.0)], 0.5), ([(0, 2.0), (10, 2.0)], 0)]
)
def test_slope(points: list[tuple[int, float]], slope: float) -> None:
    assert figures.slope(points) == pytest.approx(slope)


def test_a_lane_can_be_broken_and_mended() -> None:
    async def verdicts(url: str, times: int) -> list[str]:
        async with client(url, 0) as sdk:
            traffic = Traffic(sdk, Load(workers=2))
            await traffic.once(times)
            return [outcome.verdict for outcome in traffic.outcomes]

    with Lane() as lane, serving(config(lane.url, lane.url)) as url:
        assert asyncio.run(verdicts(url, 4)) == ["right"] * 4
        assert lane.hits() == 4
        lane.play("500")
        assert asyncio.run(verdicts(url, 1)) == ["error"]
        lane.kill()
        lane.kill()
        assert asyncio.run(verdicts(url, 2)) == ["error"] * 2
        lane.start()
        lane.start()
        assert asyncio.run(verdicts(url, 2)) == ["right"] * 2
        lane.freeze()
        lane.thaw()
        assert lane.hits() == 2


def fault_row(name: str, **figures: Any) -> Row:
    made = row(name, [outcome(0, 1)], [0.5], 3)
    for field, value in figures.items():
        setattr(made, field, value)
    return made


@pytest.mark.parametrize(
    ("name", "figures", "broken"),
    [
        pytest.param("lane-killed", {"p99": 4.9}, 0, id="within-the-deadline"),
        pytest.param("lane-killed", {"p99": 5.1}, 1, id="over-the-deadline"),
        pytest.param("cloud-fails", {"seen": {"cloud hits": 130, "asked meanwhile": 100}}, 0, id="budget"),
        pytest.param("cloud-fails", {"seen": {"cloud hits": 131, "asked meanwhile": 100}}, 1, id="storm"),
        pytest.param("streams-cut", {"errors": 1, "codes": {"upstream_interrupted": 1}}, 0, id="cut"),
        pytest.param("streams-cut", {}, 1, id="nothing-was-cut"),
        pytest.param("streams-cut", {"errors": 1, "codes": {"500 x": 1}}, 1, id="another-error"),
        pytest.param("burst", {"seen": {"Router RSS MiB more": 101}}, 1, id="grew"),
    ],
)
def test_promises(name: str, figures: dict[str, Any], broken: int) -> None:
    promises = {fault.name: fault for fault in FAULTS}[name].promises
    assert len([*promises(fault_row(name, **figures))]) == broken


@pytest.mark.parametrize(("hits", "lanes"), [(1, {}), (0, {"cloud": 1})])
def test_one_confidential_request_at_the_cloud_breaks_the_promise(hits: int, lanes: dict[str, int]) -> None:
    promises = {fault.name: fault for fault in FAULTS}["confidential-without-locals"].promises
    seen = {"errors": 1, "codes": {"503 no_lane_available": 1}}
    assert not [*promises(fault_row("x", **seen, seen={"cloud hits": 0}))]
    assert len([*promises(fault_row("x", **seen, seen={"cloud hits": hits}, lanes=lanes))]) == 1


async def test_a_strike_that_would_hit_nothing_is_refused() -> None:
    async with client("http://127.0.0.1:9") as sdk:
        traffic = Traffic(sdk, Load(workers=4))
        stage = scene.Scene(Rig(scout=False), traffic, 1)
        with pytest.raises(scene.Unfair):
            await stage.strike(lambda: None)
        traffic.in_flight = 2
        assert await stage.strike(lambda: "done") == "done"
    assert (len(stage.strikes), stage.in_flight) == (1, 2)


def test_every_fault_is_explained() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert not [fault.name for fault in FAULTS if f"`{fault.name}`" not in text]
    assert f"`{engine.NAME}`" in text
