"""Where the time of a request goes on Ray Serve, stage by stage: what `/metrics` says before and after a burst.

Knows Pointsman's own histograms alone. The hop to CloudProxy is only there: in one process there is none.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families as families
from rich.console import Console
from rich.table import Table

from bench.overhead import peers, rig
from bench.overhead.rig import Runner
from bench.overhead.shots import Cell, burst

WARM_UP = 30
HISTOGRAMS = {"pointsman_stage_seconds": "stage", "pointsman_signal_seconds": "signal"}
Sums = dict[str, tuple[float, float]]
"""By stage: how often, and seconds in all."""


def stages(folder: Path, cell: Cell, requests: int) -> dict[str, dict[str, float]]:
    """Of each stage: how many a request, and milliseconds of wall time for one. Raises Skipped."""
    with ExitStack() as stack:
        log = folder / "upstream.log"
        command = [sys.executable, "-m", "bench.overhead.upstream"]
        upstream, _ = stack.enter_context(rig.child(command, {}, log))
        start = peers.graphs(peers.pointsman_config(rig.printed_url(upstream, log), folder))
        runner = rig.launched(stack, "pointsman", "", start, folder / "graphs.log")
        rig.wait_ready(runner)
        asyncio.run(burst(runner, cell, WARM_UP))
        before = _sums(runner)
        found = asyncio.run(burst(runner, cell, requests))
        return _between(before, _sums(runner), len(found.seconds) + found.failed)


def _sums(runner: Runner) -> Sums:
    with httpx2.Client(trust_env=False, timeout=30) as client:
        return sums(client.get(runner.url.replace("/v1", "/metrics")).text)


def sums(text: str) -> Sums:
    """What the stages and signals of one page of metrics add up to."""
    found: dict[str, dict[str, float]] = {}
    for family in families(text):
        if label := HISTOGRAMS.get(family.name):
            for sample in family.samples:
                kind = sample.name.removeprefix(f"{family.name}_")
                if kind in ("sum", "count"):
                    name = ("signal " if label == "signal" else "") + sample.labels[label]
                    one = found.setdefault(name, {"sum": 0.0, "count": 0.0})
                    one[kind] += sample.value
    return {name: (one["count"], one["sum"]) for name, one in found.items()}


def _between(before: Sums, after: Sums, requests: int) -> dict[str, dict[str, float]]:
    rows = {}
    for name, (count, seconds) in after.items():
        earlier = before.get(name, (0.0, 0.0))
        if times := count - earlier[0]:
            each = (seconds - earlier[1]) * 1000 / times
            rows[name] = {"times": round(times / max(1, requests), 3), "ms": round(each, 3)}
    return dict(sorted(rows.items(), key=lambda row: -row[1]["ms"]))


def show(console: Console, rows: Mapping[str, Mapping[str, float]]) -> None:
    """As a table."""
    table = Table("stage", "a request", "ms each", title="On Ray Serve, wall time", title_justify="left")
    for stage, row in rows.items():
        table.add_row(stage, f"{row['times']:g}", f"{row['ms']:.2f}")
    console.print(table)
