"""`python -m bench.learning --data DIR [--json OUT]`: what learning the routing table is worth on known outcomes."""

import argparse
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import Progress

from bench import report
from bench.learning import measure, show
from bench.learning.replayed import read
from bench.learning.stream import Habits
from bench.quality.cases import DataUnreadable
from serve.routing_table import RoutingTable

ROOT = Path(__file__).resolve().parents[2]
EXPLORING = "learned, 6 % explored"
HABITS = {
    EXPLORING: Habits(explore=0.06, sweep=0.0, window=10**6),
    "learned, 3 % to tier 3, 20 % swept": Habits(
        explore=0.03, explored=(3,), sweep=0.2, share=0.5, every=6000, window=10**6
    ),
    "learned, 3 % to tier 3, all swept": Habits(
        explore=0.03, explored=(3,), sweep=1.0, share=0.5, every=6000, window=10**6
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when something was measured, 1 when the data cannot be read."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parse(words)
    console = Console()
    began, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    try:
        found = _measured(options, console)
    except DataUnreadable as error:
        Console(stderr=True).print(str(error), markup=False, style="red", soft_wrap=True)
        return 1
    show.tables(found, console)
    command = ["python", "-m", "bench.learning", *words]
    report.save(options.json, report.origin(command, at, time.monotonic() - began) | found)
    if options.plot is not None:
        show.plot(found, options.plot)
    return 0


def _measured(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    speed = measure.speed(options.tables, options.decisions)
    if options.data is None:
        return {"speed": speed}
    data = read(options.data, options.limit, console)
    table = RoutingTable.model_validate(
        yaml.safe_load((ROOT / "configs" / "routing.yaml").read_text("utf-8"))
    )
    stream = measure.drifting(data, options.requests)
    total = options.requests * options.seeds * len(HABITS) + options.trials * 20_000
    total += measure.ADAPT * len(data.families)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Replaying", total=total)

        def ticked(count: int) -> None:
            progress.advance(task, count)

        routers = measure.compare(stream, table, HABITS, options.seeds, ticked)
        unseen = measure.unseen(data, table, HABITS[EXPLORING], ticked)
        rollbacks = measure.rollbacks(data, table, options.trials, ticked)
    return {
        "prompts": len(data),
        "requests": len(stream),
        "routers": [asdict(one) for one in routers],
        "unseen": unseen,
        "rollbacks": rollbacks,
        "speed": speed,
    }


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.learning", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="a folder of sets of outcomes; without it only speed is measured"
    )
    parser.add_argument("--limit", type=int, help="at most so many prompts of each set")
    parser.add_argument("--requests", type=int, default=100_000, help="length of the stream")
    parser.add_argument("--seeds", type=int, default=3, help="how often each learner replays it")
    parser.add_argument("--trials", type=int, default=20, help="how often a bad table is put on trial")
    parser.add_argument("--tables", type=int, default=10_000, help="candidates whose estimation is timed")
    parser.add_argument("--decisions", type=int, default=1_000_000, help="decisions they are estimated on")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    parser.add_argument("--plot", type=Path, help="draw quality against cost into this file")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
