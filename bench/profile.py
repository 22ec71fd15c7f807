"""Where the Router's CPU time goes: a table by stage and a flame graph.

    python -m bench.profile --requests 400 --tokens 300 --chunks 0 --out profile.json --flame flame.svg

Ingress, Router and CloudProxy in this process, without Ray and without a server's socket, before an upstream that
answers at once. Every millisecond of CPU time the stack of the event loop is noted (SIGPROF): what else the machine
does changes the shares little, the milliseconds more. Then the same on Ray Serve, by the histograms of `/metrics`: wall
time, with the hop to CloudProxy and the wait for the ledger in it (`--no-served` leaves that out). Linux; without that
part macOS, too.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from types import FrameType

import httpx2
from rich.console import Console
from rich.table import Table

from bench import report
from bench.flame import write
from bench.machine import ROOT
from bench.overhead import rig
from bench.overhead.install import Skipped
from bench.overhead.peers import pointsman_config
from bench.overhead.rig import Runner
from bench.overhead.shots import Cell, body_of
from bench.served import show as show_served
from bench.served import stages as on_serve
from models.scout.prescout import PreScout
from serve.audit.log import AuditLog, open_audit
from serve.cloud import CloudProxy
from serve.config import load
from serve.ingress import http_app
from serve.lanes.load import LaneLoad
from serve.router import Router
from serve.signals.gather import Judges

EVERY_S = 0.001
WARM_UP = 30
Stack = tuple[str, ...]
# The first that a stack passes, from the outside in, names its stage.
STAGES = (
    ("egress gate", "serve/egress.py:check"),
    ("parse", "serve/wire/openai_chat.py:parse"),
    ("view", "serve/request.py:view_of"),
    ("sensitivity", "serve/signals/sensitivity/"),
    ("constraints", "serve/signals/constraints.py:"),
    ("context", "serve/signals/context.py:"),
    ("pre-scout", "models/scout/"),
    ("policy", "serve/policy.py:"),
    ("audit", "serve/audit/"),
    ("ledger", "serve/ledger/"),
    ("verdict", "serve/verdict.py:"),
    ("upstream call", "serve/lanes/openai.py:"),
    ("coalesce", "serve/coalesce.py:"),
    ("serialise", "serve/surfaces/chat.py:"),
    ("dispatch", "serve/attempts.py:"),
    ("dispatch", "serve/dispatch.py:"),
    ("decide, the rest", "serve/router.py:"),
    ("edge: HTTP, keys, limits", "serve/"),
)
IDLE = "selectors.py:select"


def main(arguments: list[str] | None = None) -> int:
    """Measure, show, save."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    started_at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.overhead.upstream"]
        log = Path(folder) / "log"
        with rig.child(command, {}, log) as (process, _):
            upstream = rig.printed_url(process, log)
            stacks, cpu_ms = asyncio.run(_sampled(upstream, Path(folder), options))
        served = _served(Path(folder), options) if options.served else {}
    result = report.origin(
        ["python", "-m", "bench.profile", *arguments], started_at, time.perf_counter() - started
    )
    result |= {"cpu_ms_per_request": round(cpu_ms, 3), "stages": _stages(stacks, cpu_ms)}
    result |= {"served": served}
    _show(Console(), result["stages"], cpu_ms)
    if served:
        show_served(Console(), served)
    report.save(options.out, result)
    if options.flame:
        write(stacks, options.flame)
    return 0


def _served(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    own = folder / "served"
    own.mkdir()
    cell = Cell(options.chunks, options.tokens, options.concurrency)
    try:
        return on_serve(own, cell, options.requests)
    except Skipped as why:
        Console(stderr=True).print(f"not measured on Ray Serve: {why}", markup=False)
        return {}


async def _sampled(upstream: str, folder: Path, options: argparse.Namespace) -> tuple[Counter[Stack], float]:
    settings = load(pointsman_config(upstream, folder))
    proxy, audit = CloudProxy(settings), open_audit(settings)
    lanes = {lane.name: proxy for lane in settings.lanes}
    router = Router(settings, Judges(PreScout.load(), None), lanes, LaneLoad(settings), audit)
    router.ledger.start()
    body = body_of(Runner("self", "", "", model="auto"), Cell(options.chunks, options.tokens, 1))
    stacks: Counter[Stack] = Counter()
    with closing(router.ledger):
        transport = httpx2.ASGITransport(app=http_app(router))
        async with httpx2.AsyncClient(transport=transport, base_url="http://self") as client:
            await _ask(client, body, WARM_UP, options.concurrency)
            signal.signal(signal.SIGPROF, lambda _, frame: stacks.update([_stack(frame)]))
            signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
            before = time.process_time()
            await _ask(client, body, options.requests, options.concurrency)
            spent = time.process_time() - before
            signal.setitimer(signal.ITIMER_PROF, 0)
        await proxy.close()
        if isinstance(audit, AuditLog):
            await asyncio.to_thread(audit.close)
    return stacks, spent * 1000 / options.requests


async def _ask(client: httpx2.AsyncClient, body: bytes, requests: int, concurrency: int) -> None:
    queue = repeat(None, requests)

    async def work() -> None:
        for _ in queue:
            answer = await client.post(
                "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
            )
            answer.raise_for_status()

    await asyncio.gather(*(work() for _ in range(concurrency)))


def _stack(frame: FrameType | None) -> Stack:
    """From the outside in, as `file:function`; files of this repository by their path in it."""
    names = []
    while frame is not None:
        path = frame.f_code.co_filename
        short = (
            path.removeprefix(f"{ROOT}/") if path.startswith(str(ROOT)) else "/".join(path.split("/")[-2:])
        )
        names.append(f"{short}:{frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(reversed(names))


def _stages(stacks: Counter[Stack], cpu_ms: float) -> dict[str, dict[str, float]]:
    """Share and milliseconds per request of each stage, largest first."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found[_stage(stack)] += count
    total = max(1, sum(found.values()))
    return {
        stage: {"share": round(count / total, 4), "ms": round(cpu_ms * count / total, 3)}
        for stage, count in found.most_common()
    }


def _stage(stack: Stack) -> str:
    if stack and stack[-1].endswith(IDLE):
        return "other threads (writing audit and ledger)"
    for stage, mark in STAGES:
        if any(name.startswith(mark) for name in stack):
            return stage
    return "event loop, and this client"


def _show(console: Console, stages: dict[str, dict[str, float]], cpu_ms: float) -> None:
    table = Table("stage", "share", "CPU-ms", title=f"{cpu_ms:.2f} CPU-ms per request", title_justify="left")
    for stage, row in stages.items():
        table.add_row(stage, f"{row['share']:.1%}", f"{row['ms']:.2f}")
    console.print(table)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=300, help="of the prompt")
    parser.add_argument("--chunks", type=int, default=0, help="of the stream; 0: not a stream")
    parser.add_argument(
        "--served",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the stages on Ray Serve as well, about a minute more",
    )
    parser.add_argument("--out", type=Path, help="JSON")
    parser.add_argument("--flame", type=Path, help="SVG")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
