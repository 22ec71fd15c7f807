"""What so many replicas do at such a load: latency, spill, spend and single points, by simulation.

    python -m bench.simulate --out bench/results/simulate.json --plot bench/results/simulate.svg
    python -m bench.simulate --engine gpu-assumed --rates 50,500 --loads 0.7,0.9 --patience 0.5
    python -m bench.simulate --calibration mine.json

Every service time comes from the calibration file, which says of each where it is from. Starts nothing, asks nobody.
"""

import argparse
import math
import sys
import time
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bench import report
from bench.machine import ROOT
from bench.simulate import calibration, show
from bench.simulate.point import Point, Question, as_row, capacity, shape, simulate

SHIPPED = ROOT / "bench" / "results" / "calibration.json"


def main(arguments: list[str] | None = None) -> int:
    """Simulate, show, save."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options, world = _parse(arguments)
    started_at, began = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    out = Console(width=None if sys.stdout.isatty() else 150)
    found = {name: _points(name, options, world) for name in options.engine}
    if not any(found.values()):
        Console(stderr=True).print(
            "Nothing is left to simulate: raise --most-replicas or lower --rates", style="red"
        )
        return 1
    found = {name: points for name, points in found.items() if points}
    for name, points in found.items():
        able = capacity(world.engines[name], world)
        show.table(out, f"{name}: one replica does {able:.3g} requests/s with all slots taken", points)
    for part, source in calibration.parts(world):
        out.print(f"{part}: {source}", markup=False, style="dim")
    result = report.origin(
        ["python", "-m", "bench.simulate", *arguments], started_at, time.perf_counter() - began
    )
    result |= {"calibration": world.model_dump(mode="json", exclude={"lengths": {"input", "output"}})}
    result |= {"points": {name: [as_row(point) for point in points] for name, points in found.items()}}
    report.save(options.out, result)
    if options.plot:
        show.plot(options.plot, found)
    return 0


def _points(name: str, options: argparse.Namespace, world: calibration.Calibration) -> list[Point]:
    """Every rate at every load, but those for which too many replicas would be needed."""
    engine, err = world.engines[name], Console(stderr=True)
    asked = [
        Question(rate, load, options.patience, options.cloud_share, options.requests, options.seed)
        for rate, load in product(options.rates, options.loads)
    ]
    kept = [one for one in asked if shape(one, engine, world).replicas <= options.most_replicas]
    if len(kept) < len(asked):
        err.print(f"{name}: {len(asked) - len(kept)} points need more than --most-replicas and are left out")
    return [simulate(one, engine, world) for one in track(kept, description=name, console=err)]


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, calibration.Calibration]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.simulate", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--calibration", type=Path, default=SHIPPED)
    parser.add_argument(
        "--engine", action="append", help="of the calibration; all without it; may be repeated"
    )
    parser.add_argument("--rates", type=_numbers, default=[10, 100, 1_000, 10_000, 100_000],
                        help="requests a second that the replicas are made for")  # fmt: skip
    parser.add_argument("--loads", type=_numbers, default=[0.5, 0.7, 0.8, 0.9, 1.0, 1.2],
                        help="of what those replicas can do")  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=0.5, help="seconds of wait above which a request spills"
    )
    parser.add_argument(
        "--cloud-share", type=float, default=0.2, help="of requests that go to the cloud by policy"
    )
    parser.add_argument("--most-replicas", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=20_000, help="simulated for each point at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(arguments)
    try:
        world = calibration.load(options.calibration)
    except calibration.CalibrationUnreadable as error:
        parser.error(f"--calibration: {error}")
    options.engine = options.engine or list(world.engines)
    if unknown := [name for name in options.engine if name not in world.engines]:
        parser.error(f"--engine: no {unknown[0]} in the calibration, which has {', '.join(world.engines)}")
    if not 0 <= options.cloud_share < 1:
        parser.error("--cloud-share: from 0 to below 1")
    if not options.patience >= 0 or options.requests < 100:
        parser.error("--patience must not be negative, and --requests must be 100 or more")
    return options, world


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise argparse.ArgumentTypeError(f"{text} is not a list of numbers above 0, like 10,100")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
