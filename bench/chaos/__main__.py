"""Break a real Pointsman in every way we know, under load, and count what its clients notice.

    python -m bench.chaos                      # everything, within 8 minutes
    python -m bench.chaos --only router-killed lane-killed
    python -m bench.chaos --soak 100000        # with a longer look at memory

Linux only. Starts its own `pointsman up` and its own loopback providers, and ends only those.
"""

import argparse
import asyncio
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import report
from bench.chaos import engine, figures, show
from bench.chaos.faults import FAULTS
from bench.chaos.figures import Row
from bench.chaos.rig import Rig
from bench.chaos.scene import Fault, Unfair, play
from bench.chaos.soak import Soak, soak
from bench.child import StartFailed


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when a promise did not hold or nothing could be measured, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options, out = _parse(arguments), Console()
    if not out.is_terminal:
        out = Console(width=170)  # a log has no width; the table has one
    started_at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # unwind: end what was started
    rows, memory, failures = list[Row](), list[Soak](), list[str]()
    try:
        _run(options, out, rows, memory, failures)
    except StartFailed as error:
        failures.append(str(error))
    except KeyboardInterrupt:
        failures.append("interrupted; these are the faults that were finished")
    command = ["python", "-m", "bench.chaos", *arguments]
    result = report.origin(command, started_at, time.perf_counter() - started) | _result(rows, memory)
    show.table(out, rows, memory)
    report.save(options.out, result)
    if options.plot:
        show.plot(options.plot, rows, memory)
    for failure in failures:
        out.print(failure, style="red", markup=False, soft_wrap=True)
    return 1 if failures or not (rows or memory) or any(row.broken for row in rows) else 0


def _run(
    options: argparse.Namespace, out: Console, rows: list[Row], memory: list[Soak], failures: list[str]
) -> None:
    faults = [fault for fault in FAULTS if not options.only or fault.name in options.only]
    if faults or options.soak:
        _run_core(faults, options, out, rows, memory, failures)
    if not options.only or engine.NAME in options.only:
        if reason := engine.missing():
            out.print(f"{engine.NAME}: left out, {reason}", markup=False)
            return
        with out.status(f"{engine.NAME}: {engine.DOES}"):
            rows.append(asyncio.run(engine.play(options.proxy)))
        show.line(out, rows[-1])


def _run_core(
    faults: list[Fault],
    options: argparse.Namespace,
    out: Console,
    rows: list[Row],
    memory: list[Soak],
    failures: list[str],
) -> None:
    with Rig(options.proxy) as rig:
        for fault in faults:
            if reason := _left_out(fault, rig):
                out.print(f"{fault.name}: left out, {reason}")
                continue
            with out.status(f"{fault.name}: {fault.does}"):
                try:
                    rows.append(asyncio.run(play(fault, rig, options.seconds)))
                except Unfair as error:
                    failures.append(f"{fault.name}: {error}")
                    continue
            show.line(out, rows[-1])
        if options.soak:
            with out.status(f"soak: {options.soak} requests"):
                memory.append(asyncio.run(soak(rig, options.soak)))


def _left_out(fault: Fault, rig: Rig) -> str:
    if fault.needs_scout and not rig.scout:
        return "the Scout's model or packages are not installed: make setup, make models"
    if fault.name in ("haproxy-killed", "proxy-killed") and rig.proxy != "haproxy":
        return "there is no HAProxy with --proxy plain"
    return ""


def _result(rows: list[Row], memory: list[Soak]) -> dict[str, Any]:
    failed, asked = figures.visible_share(rows)
    return {
        "faults": [row.as_json() for row in rows],
        "invisible": {"requests": asked, "seen_by_client": failed},
        "soak": [run.as_json() for run in memory],
    }


def _parse(arguments: list[str]) -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")[0]
    names = [*(fault.name for fault in FAULTS), engine.NAME]
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=about)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--seconds", type=float, help="how long each fault lasts at least; default: its own")
    parser.add_argument("--soak", type=int, default=3000, metavar="N", help="requests for memory; 0: none")
    parser.add_argument("--proxy", choices=("haproxy", "plain"), default="haproxy")
    parser.add_argument("--out", type=Path, help="write everything to this JSON file too")
    parser.add_argument("--plot", type=Path, help="draw it into this SVG or PNG file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
