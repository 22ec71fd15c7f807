"""How long a Pointsman takes to come up, how fast it then answers one client, and the memory it holds.

    python -m bench.startup --config configs/cpu.yaml --json bench/results/startup-cpu.json

Starts `pointsman up` on a free port, measures, and stops it. Linux only: memory is read from /proc.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table

from bench import processes, report
from bench.child import Child, StartFailed
from bench.client import Sample, connect, send
from bench.processes import Process
from bench.summary import summary

QUESTION = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
POLL_S = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when nothing could be measured, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options, out, err = _parse(arguments), Console(), Console(stderr=True)
    started_at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    try:
        if sys.platform != "linux":
            raise StartFailed("bench.startup reads /proc: it runs on Linux only; bench.load runs anywhere")
        measured = _run(options, err)
    except StartFailed as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        err.print("Interrupted before everything was measured; the Pointsman that was started is stopped.")
        return 1
    command = ["python", "-m", "bench.startup", *arguments]
    result = report.origin(command, started_at, time.perf_counter() - started) | measured
    _show(out, result)
    report.save(options.json, result)
    return 0


def _run(options: argparse.Namespace, err: Console) -> dict[str, Any]:
    with Child(options.config, options.proxy) as child, err.status("Starting") as status:
        return asyncio.run(_measure(child, options, status.update))


async def _measure(child: Child, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    async with connect(child.url, 1, 600, None) as client:
        say("Waiting for /readyz")
        ready_s = await _until(child, options.timeout, lambda: _ready(client))
        say("Waiting for the first answer")
        answer_s = await _until(child, options.timeout, lambda: _answered(client))
        say(f"Streaming {options.requests} answers, one after another")
        samples, duration_s = await _stream(client, options.requests)
        found = processes.measure(processes.tree(child.pid, child.mark))
    return {
        "ready_s": round(ready_s, 2),
        "first_answer_s": round(answer_s, 2),
        "streams": summary(samples, duration_s),
        "processes": [asdict(process) for process in found],
        "memory": by_role(found),
    }


async def _until(child: Child, timeout_s: float, holds: Callable[[], Awaitable[bool]]) -> float:
    """Seconds from the start of `child` until `holds()`. Raises StartFailed."""
    while not await holds():
        child.require_alive()
        if child.age_s() > timeout_s:
            raise StartFailed(f"not up after {timeout_s:.0f} s; its last words:\n{child.last_words()}")
        await asyncio.sleep(POLL_S)
    return child.age_s()


async def _ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz", timeout=5)).status_code == 200
    except httpx2.HTTPError:
        return False


async def _answered(client: httpx2.AsyncClient) -> bool:
    return (await send(client, "first", QUESTION | {"model": "auto", "max_tokens": 8})).error is None


async def _stream(client: httpx2.AsyncClient, requests: int) -> tuple[list[Sample], float]:
    body = QUESTION | {"model": "auto", "max_tokens": 32, "stream": True}
    body |= {"stream_options": {"include_usage": True}}
    started = time.perf_counter()
    samples = [await send(client, "trivial", body) for _ in range(requests)]
    return samples, time.perf_counter() - started


def by_role(found: list[Process]) -> dict[str, dict[str, float | int | None]]:
    """MiB and number of processes per role, and of all."""
    roles: dict[str, list[Process]] = {}
    for process in found:
        roles.setdefault(process.role, []).append(process)
    return {role: _sum(members) for role, members in (roles | {"all": found}).items()}


def _sum(members: list[Process]) -> dict[str, float | int | None]:
    shares = [process.pss_kib for process in members if process.pss_kib is not None]
    return {
        "processes": len(members),
        "rss_mib": round(sum(process.rss_kib for process in members) / 1024, 1),
        # A sum over a part of the processes would look like the whole.
        "pss_mib": round(sum(shares) / 1024, 1) if len(shares) == len(members) else None,
    }


def _show(console: Console, result: Mapping[str, Any]) -> None:
    console.print(f"/readyz after {result['ready_s']} s, first answer after {result['first_answer_s']} s")
    times, streams = report.times_table(), result["streams"]
    report.times_row(times, "first token", streams["first_token_s"], "s")
    report.times_row(times, "whole stream", streams["latency_s"], "s")
    report.times_row(times, "Pointsman's overhead", streams["overhead_ms"], "ms")
    console.print(times)
    if streams["errors"]:
        console.print(f"Not answered: {streams['errors']}", markup=False)
    memory = Table("role", "processes", "RSS MiB", "PSS MiB", title="Memory", title_justify="left")
    for role, sizes in result["memory"].items():
        memory.add_row(role, *(str("-" if size is None else size) for size in sizes.values()))
    console.print(memory)


def _parse(arguments: list[str]) -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=about)
    parser.add_argument("--config", type=Path, default=Path("configs/cpu.yaml"))
    parser.add_argument("--requests", type=int, default=20, help="streams measured, one after another")
    parser.add_argument("--proxy", choices=("haproxy", "plain"), default="haproxy")
    parser.add_argument("--timeout", type=float, default=900, help="seconds until it has to be up")
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
