"""The side-by-side run: its pins, its upstream over real HTTP, its figures and its flame graph."""

import asyncio
import re
import sys
import tomllib
from collections import Counter
from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import flame
from bench.overhead import peers, rig, shots, show, slope
from bench.overhead.__main__ import parse
from bench.overhead.install import Pin, Skipped, installed, pins
from bench.overhead.rig import Runner
from bench.overhead.shots import Burst, Cell, burst
from bench.overhead.slope import Slope, rss_slope


def test_every_pin_is_exact_and_has_a_recipe() -> None:
    assert set(pins()) == set(peers.RECIPES)
    assert all(pin.version and pin.version in pin.requirement for pin in pins().values())
    assert [pin.name for pin in pins().values() if pin.npm] == ["portkey"]


def test_a_peer_that_is_not_there_is_skipped_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(Skipped, match="--install"):
        peers.start_of("litellm", "http://127.0.0.1:1", tmp_path, fetch=False)
    with pytest.raises(Skipped, match="unknown"):
        peers.start_of("nobody", "http://127.0.0.1:1", tmp_path, fetch=False)


def test_a_peer_that_cannot_be_fetched_is_skipped_with_what_pip_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    nowhere = Pin("nobody", "1", str(tmp_path / "nobody-1-py3-none-any.whl"), npm=False)
    for _ in range(2):  # what the first left behind is no installation
        with pytest.raises(Skipped, match=r"cannot be installed: .*nobody-1"):
            installed(nowhere, fetch=True)


def test_the_upstream_answers_whole_and_in_as_many_chunks_as_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with rig.child([sys.executable, "-m", "bench.overhead.upstream"], {}, log) as (process, mark):
        url = rig.printed_url(process, log)
        direct = Runner("direct", "-", f"{url}/v1", root=process.pid, mark=mark)
        for cell in (Cell(0, 300, 2), Cell(20, 300, 2)):
            found = asyncio.run(burst(direct, cell, 10))
            assert (len(found.seconds), found.failed, found.fault) == (10, 0, "")
            assert found.rss_mib > 1
    assert process.returncode is not None


def test_a_router_that_prints_much_is_not_stopped_by_a_full_pipe(tmp_path: Path) -> None:
    program = "print('starting'); print('http://127.0.0.1:1', flush=True); print('GET / 200 ' * 100_000)"
    log = tmp_path / "log"
    with rig.child([sys.executable, "-c", program], {}, log) as (process, _):
        assert rig.printed_url(process, log) == "http://127.0.0.1:1"
        assert process.wait(30) == 0


def test_a_router_that_ends_without_its_url_is_skipped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        rig.child([sys.executable, "-c", "print('no')"], {}, log) as (process, _),
        pytest.raises(Skipped, match="ended"),
    ):
        rig.printed_url(process, log)


def test_tensorzero_keeps_no_books_and_reports_to_nobody(tmp_path: Path) -> None:
    start = peers.RECIPES["tensorzero"](tmp_path / "place", 1, "http://127.0.0.1:2", tmp_path)
    settings = tomllib.loads((tmp_path / "tensorzero.toml").read_text(encoding="utf-8"))
    assert settings["gateway"] == {
        "observability": {"enabled": False},
        "disable_pseudonymous_usage_analytics": True,
    }
    assert settings["models"]["mock"]["providers"]["upstream"]["api_base"] == "http://127.0.0.1:2/v1/"
    assert start.command[0] == f"{tmp_path}/place/bin/python"


def test_tensorzero_answers_by_its_own_http_in_the_words_of_the_upstream(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with ExitStack() as stack:
        upstream, _ = stack.enter_context(
            rig.child([sys.executable, "-m", "bench.overhead.upstream"], {}, log)
        )
        url = rig.printed_url(upstream, log)
        try:
            version, start = peers.start_of("tensorzero", url, tmp_path, fetch=False)
        except Skipped as why:
            pytest.skip(f"tensorzero: {why}")
        one = rig.launched(stack, "tensorzero", version, start, tmp_path / "tensorzero.log")
        rig.wait_ready(one)
        for cell in (Cell(0, 300, 2), Cell(20, 300, 2)):
            found = asyncio.run(burst(one, cell, 10))
            assert (len(found.seconds), found.failed, found.fault) == (10, 0, "")


MUTE = """
import asyncio
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def test_a_router_that_hangs_has_a_reason_and_no_slope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shots, "LONGEST_S", 0.2)
    log, told = tmp_path / "log", list[str]()
    with rig.child([sys.executable, "-c", MUTE], {}, log) as (process, mark):
        url = rig.printed_url(process, log)
        mute = Runner("mute", "-", f"{url}/v1", root=process.pid, mark=mark)
        found = asyncio.run(rss_slope(mute, 1000, told.append))
    assert (found.kib_per_1000, found.answered, found.fault) == (None, 0, "TimeoutError")
    assert shots.GIVE_UP <= found.failed < 2 * shots.GIVE_UP
    assert len(told) == 1


def test_a_slope_tells_how_far_it_is_and_how_many_answered(tmp_path: Path) -> None:
    log, told = tmp_path / "log", list[str]()
    with rig.child([sys.executable, "-m", "bench.overhead.upstream"], {}, log) as (process, mark):
        url = rig.printed_url(process, log)
        direct = Runner("direct", "-", f"{url}/v1", root=process.pid, mark=mark)
        found = asyncio.run(rss_slope(direct, 2 * slope.SAMPLES, told.append))
    assert found.kib_per_1000 is not None
    assert (found.answered, found.failed, found.fault) == (2 * slope.SAMPLES, 0, "")
    assert len(told) == slope.SAMPLES
    assert told[0].startswith(f"2 of {2 * slope.SAMPLES} answered")


def test_a_router_without_a_slope_is_shown_with_its_reason() -> None:
    console = Console(width=150, record=True, file=StringIO())
    steady = Slope(12.5, 2000, 0, "", 70.0, 71.0)
    show.slopes(console, {"mute": Slope(None, 800, 20, "TimeoutError", 370.0, 380.0), "steady": steady})
    rows = [line for line in console.export_text().splitlines() if "steady" in line or "mute" in line]
    assert "12.50" in rows[0]
    assert "20 (TimeoutError)" in rows[1]


def test_what_is_said_beside_quick_counts() -> None:
    options = parse(["--quick", "--requests", "40", "--only", "litellm"])
    assert (options.requests, options.rounds, options.concurrency) == (40, 2, [1, 16])
    assert options.only == ["litellm"]


def test_costs_and_added_times_are_of_answered_requests_above_direct() -> None:
    cell = Cell(20, 300, 16)
    direct, slow = Burst([0.001] * 4, wall_s=1), Burst([0.003] * 4, failed=1, wall_s=2, cpu_ms=20)
    row = show.figures({cell: {"direct": direct, "slow": slow}})[cell.name]["slow"]
    assert row["cpu_ms_per_request"] == 5
    assert row["added_ms"]["p50"] == pytest.approx(2)
    assert (row["requests"], row["failed"], row["requests_per_s"]) == (4, 1, 2)


def test_a_router_too_cheap_to_measure_comes_before_the_others() -> None:
    cell, console = Cell(0, 300, 1), Console(width=150, record=True, file=StringIO())
    bursts = {name: Burst([0.001], wall_s=1, cpu_ms=ms) for name, ms in (("dear", 10.0), ("cheap", 0.0))}
    bursts |= {"mute": Burst(failed=1, fault="TimeoutError", wall_s=1), "direct": Burst([0.001], wall_s=1)}
    show.tables(console, {"cells": show.figures({cell: bursts})})
    found = re.findall("cheap|dear|mute", console.export_text())
    assert found == ["cheap", "dear", "mute"]


def test_the_boxes_of_a_flame_graph_are_as_wide_as_their_share(tmp_path: Path) -> None:
    stacks: Counter[tuple[str, ...]] = Counter({("main", "serve/router.py:decide"): 3, ("main", "other"): 1})
    flame.write(stacks, tmp_path / "flame.svg")
    text = (tmp_path / "flame.svg").read_text(encoding="utf-8")
    titles = re.findall("<title>(.*?)</title>", text)
    assert titles == ["main 100.0%", "other 25.0%", "serve/router.py:decide 75.0%"]
