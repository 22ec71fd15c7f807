"""Measures what one judgement costs: `python -m models.scout.latency [--encoder DIR] [--runs 500]`.

Prints medians and 95th percentiles of this machine as it is now; knows nothing about a Router around it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from models.scout.prescout import PreScout

LETTERS = "etaoinshrdlucmfwypvbgkqjxz0123456789?.,    "
SIZES = {"64 tokens": 256, "512 tokens": 2_000, "1 MB": 1_000_000}
WARM_UP = 20


def main() -> None:
    """Measures the pre-scout, and the Scout head where an encoder is given."""
    parser = argparse.ArgumentParser(prog="python -m models.scout.latency", description=__doc__)
    parser.add_argument("--encoder", type=Path)
    parser.add_argument("--runs", type=int, default=500)
    given = parser.parse_args()
    judges: dict[str, Callable[[str], object]] = {"pre-scout": PreScout.load().score}
    if given.encoder:
        judges["scout, 1 thread"] = _scout(given.encoder)
    Console().print(_table(judges, given.runs))


def _scout(directory: Path) -> Callable[[str], object]:
    from models.scout.encoder import Encoder, ScoutHead  # torch is needed for this part only

    head = ScoutHead.load(Encoder(directory, threads=1))
    return lambda text: head.judge([text])


def _table(judges: dict[str, Callable[[str], object]], runs: int) -> Table:
    table = Table("judge", "text", "p50 ms", "p95 ms")
    for name, judge in judges.items():
        for label, size in SIZES.items():
            text = _noise(size)
            table.add_row(name, label, *(f"{value:.2f}" for value in _percentiles(judge, text, runs)))
    return table


def _noise(size: int) -> str:
    """Random letters: hardly an n-gram repeats, which is the worst case for hashing."""
    places = np.random.default_rng(0).integers(0, len(LETTERS), size)
    return "".join(LETTERS[place] for place in places)


def _percentiles(judge: Callable[[str], object], text: str, runs: int) -> list[float]:
    """The 50th and 95th percentile in milliseconds."""
    spent = []
    for _ in range(runs + WARM_UP):
        start = time.perf_counter()
        judge(text)
        spent.append(1e3 * (time.perf_counter() - start))
    percentiles: list[float] = np.percentile(spent[WARM_UP:], [50, 95]).tolist()
    return percentiles


if __name__ == "__main__":
    main()
