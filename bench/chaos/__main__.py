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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import report
from bench.chaos import engine, figures, show
from bench.chaos.faults import FAULTS
from bench.chaos.figures import Row
from bench.chaos.rig import Rig
from bench.chaos.scene import Fault, Unfair, play, warm_up
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
    suite = _Suite(options, out)
    try:
        suite.run()
    except StartFailed as error:
        suite.failures.append(str(error))
    except KeyboardInterrupt:
        suite.failures.append("interrupted; these are the faults that were finished")
    finally:
        command = ["python", "-m", "bench.chaos", *arguments]
        origin = report.origin(command, started_at, time.perf_counter() - started)
        report.save(options.out, origin | suite.result())
        show.table(out, suite.rows, suite.memory)
    if options.plot:
        show.plot(options.plot, suite.rows, suite.memory)
    for failure in suite.failures:
        out.print(failure, style="red", markup=False, soft_wrap=True)
    return 0 if suite.held() else 1


@dataclass(slots=True)
class _Suite:
    """What is to be done, and what has been found so far."""

    options: argparse.Namespace
    out: Console
    rows: list[Row] = field(default_factory=list)
    memory: list[Soak] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """All that was asked for. Raises StartFailed when there is no Pointsman to break."""
        left = [fault for fault in FAULTS if self._wanted(fault.name)]
        while left or (self.options.soak and not self.memory):
            with Rig(self.options.proxy) as rig:
                try:
                    self._core(left, rig)
                except StartFailed as error:  # it did not heal: another one for the faults that are left
                    self.failures.append(str(error))
                    if not left:
                        break
        if self._wanted(engine.NAME):
            self._engine()

    def held(self) -> bool:
        """Something was measured, and every promise held."""
        broken = self.failures or any(row.broken for row in self.rows)
        return bool(self.rows or self.memory) and not broken

    def result(self) -> dict[str, Any]:
        """For the JSON file."""
        failed, asked = figures.visible_share(self.rows)
        return {
            "faults": [row.as_json() for row in self.rows],
            "invisible": {"requests": asked, "seen_by_client": failed},
            "soak": [run.as_json() for run in self.memory],
            "failures": self.failures,
        }

    def _wanted(self, name: str) -> bool:
        return not self.options.only or name in self.options.only

    def _core(self, left: list[Fault], rig: Rig) -> None:
        with self.out.status("warming up"):
            asyncio.run(warm_up(rig))
        while left:
            fault = left.pop(0)
            if reason := _left_out(fault, rig):
                self.out.print(f"{fault.name}: left out, {reason}", markup=False)
                continue
            with self.out.status(f"{fault.name}: {fault.does}"):
                self._play(fault, rig)
        if self.options.soak:
            with self.out.status(f"soak: {self.options.soak} requests"):
                self.memory.append(asyncio.run(soak(rig, self.options.soak)))

    def _play(self, fault: Fault, rig: Rig) -> None:
        try:
            self.rows.append(asyncio.run(play(fault, rig, self.options.seconds)))
        except Unfair as error:
            self.failures.append(f"{fault.name}: {error}")
        else:
            show.line(self.out, self.rows[-1])

    def _engine(self) -> None:
        if reason := engine.missing():
            self.out.print(f"{engine.NAME}: left out, {reason}", markup=False)
            return
        with self.out.status(f"{engine.NAME}: {engine.DOES}"):
            self.rows.append(asyncio.run(engine.play(self.options.proxy)))
        show.line(self.out, self.rows[-1])


def _left_out(fault: Fault, rig: Rig) -> str:
    if fault.needs_scout and not rig.scout:
        return "the Scout's model or packages are not installed: make setup, make models"
    if fault.name in ("haproxy-killed", "proxy-killed") and rig.proxy != "haproxy":
        return "there is no HAProxy with --proxy plain"
    return ""


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
