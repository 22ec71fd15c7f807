"""What a router costs, side by side: Pointsman, the floor under it, and peers, before one instant upstream.

    python -m bench.overhead --install --out bench/results/overhead.json --plot bench/results/overhead.svg
    python -m bench.overhead --quick --only pointsman-in-process,litellm

Linux only. All routers run at once and are asked in turn, in rounds, so that what else the machine does meets all of
them. Trust CPU-ms per request: times on the wall depend on the load of the machine.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path

import psutil
from rich.console import Console

from bench import report
from bench.overhead import peers, rig, show
from bench.overhead.install import Skipped
from bench.overhead.rig import Runner
from bench.overhead.shots import Burst, Cell, burst
from bench.overhead.slope import Slope, rss_slope
from serve import __version__

IDLE_S = 4.0
WARM_UP = 20
QUICK = {"chunks": [0, 20], "tokens": [300], "concurrency": [1, 16], "requests": 50, "rounds": 2}
err = Console(stderr=True)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when a router that took part failed a request, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    started_at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        runners, skipped = _start(stack, options, Path(folder))
        _settle(runners)
        found = asyncio.run(_rounds(runners, options))
        slopes = _slopes(runners, options.slope)
    result = report.origin(
        ["python", "-m", "bench.overhead", *arguments], started_at, time.perf_counter() - started
    )
    result |= {"load_average_at_end": [round(load, 2) for load in psutil.getloadavg()]}
    result |= {"versions": {runner.name: runner.version for runner in runners}, "skipped": skipped}
    result |= {"idle_ms_per_s": {runner.name: round(runner.idle_ms_per_s, 2) for runner in runners}}
    result |= {"cells": show.figures(found), "rss_slope": {name: asdict(s) for name, s in slopes.items()}}
    console = Console(width=None if sys.stdout.isatty() else 150)
    show.tables(console, result)
    show.slopes(console, slopes)
    report.save(options.out, result)
    if options.plot:
        show.plot(result, options.plot)
    broken = any(cell["failed"] for rows in result["cells"].values() for cell in rows.values())
    return int(broken or any(slope.failed for slope in slopes.values()))


def _start(
    stack: ExitStack, options: argparse.Namespace, folder: Path
) -> tuple[list[Runner], dict[str, str]]:
    log = folder / "upstream.log"
    upstream, _ = stack.enter_context(rig.child([sys.executable, "-m", "bench.overhead.upstream"], {}, log))
    url = rig.printed_url(upstream, log)
    runners, skipped = [Runner("direct", "-", f"{url}/v1")], {}
    for name in options.only:
        try:
            runners += _launch(stack, name, url, folder, options)
        except Skipped as why:
            skipped[name] = str(why)
    for runner in list(runners):
        try:
            rig.wait_ready(runner)
        except Skipped as why:
            skipped[runner.name] = str(why)
            runners.remove(runner)
    for name, reason in skipped.items():
        err.print(f"{name} takes no part: {reason}", markup=False)
    return runners, skipped


def _launch(
    stack: ExitStack, name: str, upstream: str, folder: Path, options: argparse.Namespace
) -> list[Runner]:
    own = folder / name
    own.mkdir()
    if name == "bare-serve":
        return []  # comes with Pointsman, in its cluster
    if name == "pointsman":
        start = peers.graphs(peers.pointsman_config(upstream, own))
        one = rig.launched(stack, name, __version__, start, own / "log")
        floor = Runner("bare-serve", _ray(), one.url.replace("/v1", "/bare/v1"), root=one.root, mark=one.mark)
        return [one, floor] if "bare-serve" in options.only else [one]
    if name == "pointsman-in-process":
        start = peers.in_process(peers.pointsman_config(upstream, own))
        return [rig.launched(stack, name, __version__, start, own / "log")]
    version, start = peers.start_of(name, upstream, own, fetch=options.install)
    return [rig.launched(stack, name, version, start, own / "log")]


def _ray() -> str:
    import ray  # slow, and not needed by most runs

    return f"ray {ray.__version__}"


def _settle(runners: list[Runner]) -> None:
    """Warm up, then see what each spends while nobody asks."""
    for runner in runners:
        asyncio.run(burst(runner, Cell(0, 300, 1), WARM_UP))
        asyncio.run(burst(runner, Cell(20, 300, 2), WARM_UP))
    before = [sum(runner.cpu_ms().values()) for runner in runners]
    time.sleep(IDLE_S)
    for runner, spent in zip(runners, before, strict=True):
        runner.idle_ms_per_s = (sum(runner.cpu_ms().values()) - spent) / IDLE_S


async def _rounds(runners: list[Runner], options: argparse.Namespace) -> dict[Cell, dict[str, Burst]]:
    cells = [Cell(*of) for of in product(options.chunks, options.tokens, options.concurrency)]
    found = {cell: {runner.name: Burst() for runner in runners} for cell in cells}
    for turn, cell in product(range(options.rounds), cells):
        shift = turn % len(runners)
        for runner in runners[shift:] + runners[:shift]:
            err.print(f"round {turn + 1}: {cell.name}: {runner.name}", highlight=False)
            found[cell][runner.name].add(await burst(runner, cell, options.requests))
    return found


def _slopes(runners: list[Runner], requests: int) -> dict[str, Slope]:
    """Of every router that has processes, one after another. None of any without `requests`."""
    found = {}
    for runner in runners:
        if requests and runner.root is not None:
            tell = partial(_tell, f"slope: {runner.name}")
            found[runner.name] = asyncio.run(rss_slope(runner, requests, tell))
    return found


def _tell(subject: str, news: str) -> None:
    err.print(f"{subject}: {news}", highlight=False, markup=False)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; --quick sets only what is not said beside it."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.overhead", description=(__doc__ or "").partition("\n")[0]
    )
    everybody = ",".join((*peers.OWN, *peers.known()))
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=everybody.split(","), help=everybody
    )
    parser.add_argument("--install", action="store_true", help="fetch peers that are not in the cache yet")
    parser.add_argument("--chunks", type=_numbers, default=[0, 20, 200], help="0 is unary: 0,20,200")
    parser.add_argument("--tokens", type=_numbers, default=[300, 8000], help="of the prompt: 300,8000")
    parser.add_argument("--concurrency", type=_numbers, default=[1, 16, 64], help="1,16,64")
    parser.add_argument("--requests", type=int, default=100, help="of one burst")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--slope", type=int, default=0, metavar="N", help="RSS over N further requests to each"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one prompt size, c=1 and 16, short bursts, two rounds"
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(arguments)
    if options.quick:
        parser.set_defaults(**QUICK)
        options = parser.parse_args(arguments)
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
