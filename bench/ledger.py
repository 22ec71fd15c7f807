"""What a reservation costs: `python -m bench.ledger --json bench/results/ledger.json`, on SQLite or `--url postgresql://…`.

Times whole reservations as a router makes them: from the event loop through the ledger's thread to the commit and
back, with the seven accounts of a key with team and session. Alone, then many at once, then beside other processes.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.machine import commit, machine
from serve.ledger.desk import Desk, LedgerDown, new_id
from serve.ledger.entries import Account, Reserve, Settle, milliseconds

SCOPES = ("total", "team:blue", "key:ann")
ACCOUNTS = (
    *(Account(scope, period, 10**15) for scope in SCOPES for period in ("2026-11-21", "2026-11")),
    Account("session:0123456789abcdef0123", "all", 10**15),
)


async def one(desk: Desk) -> float | None:
    """Milliseconds of one reservation, None when it was refused; it is given back afterwards."""
    entry = Reserve(
        new_id(), ACCOUNTS, 100, "dec_bench", "cloud", "ann", expires_at=milliseconds() + 3_600_000
    )
    began = time.perf_counter()
    try:
        await desk.reserve(entry)
    except LedgerDown:
        return None
    took = (time.perf_counter() - began) * 1000
    desk.settle(Settle(entry.id, None))
    return took


async def measure(url: str, count: int, at_once: int) -> list[float | None]:
    """Milliseconds of `count` reservations, `at_once` of them in flight."""
    desk = Desk(url)
    await one(desk)  # opens the database
    found: list[float | None] = []

    async def worker(share: int) -> None:
        for _ in range(share):
            found.append(await one(desk))

    try:
        await asyncio.gather(*(worker(count // at_once) for _ in range(at_once)))
    finally:
        await asyncio.to_thread(desk.close)
    return found


def summary(found: list[float | None], seconds: float) -> dict[str, float]:
    """Percentiles in milliseconds, and reservations per second."""
    times = sorted(took for took in found if took is not None)
    return {
        "count": len(times),
        "refused": len(found) - len(times),
        "p50_ms": round(statistics.median(times), 3),
        "p95_ms": round(times[int(len(times) * 0.95)], 3),
        "p99_ms": round(times[int(len(times) * 0.99)], 3),
        "per_s": round(len(times) / seconds),
    }


def timed(url: str, count: int, at_once: int) -> dict[str, float]:
    """One row of the result."""
    began = time.perf_counter()
    found = asyncio.run(measure(url, count, at_once))
    return summary(found, time.perf_counter() - began)


def beside(url: str, count: int, processes: int) -> dict[str, float]:
    """The row of the first of several processes that do the same, 8 at once each."""
    command = [sys.executable, "-m", "bench.ledger", "--url", url, "--count", str(count), "--quiet"]
    others = [subprocess.Popen(command) for _ in range(processes - 1)]
    try:
        return timed(url, count, 8)
    finally:
        for other in others:
            other.wait()


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="default: SQLite in a temporary folder")
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quiet", action="store_true", help="only make load: 8 at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/state.db"
        if options.quiet:
            asyncio.run(measure(url, options.count, 8))
            return
        rows = {f"{n} at once": timed(url, options.count, n) for n in (1, 8, 64)}
        rows["8 at once, 4 processes"] = beside(url, options.count // 4, 4)
    result = {
        "machine": machine(), "commit": commit(), "load_average": os.getloadavg()[0],
        "database": url.partition(":")[0], "accounts": len(ACCOUNTS), "rows": rows,
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
