"""Load on any OpenAI-compatible server, with a report: closed loop, a rate, or a recorded trace.

    python -m bench.load --url http://127.0.0.1:8000 --requests 200 --concurrency 8 --stream
    python -m bench.load --trace code.jsonl.gz --speed 2 --scale 0.1 --stream --html load.html

Does not know what answers; lanes, reasons, spend and overhead are shown where the server is a Pointsman.
"""

import asyncio
import sys
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench import report
from bench.client import Sample, connect
from bench.load import page
from bench.load.drive import Driver, Run
from bench.load.options import parse
from bench.load.plan import Plan
from bench.summary import summary


class Unreachable(Exception):
    """Nothing answers at the URL."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when the server cannot be reached, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options, plan = parse(arguments)
    out, err, run = Console(), Console(stderr=True), Run()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        asyncio.run(_measure(options, plan, run, err))
    except KeyboardInterrupt:
        run.interrupted = True
    except Unreachable as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    result = report.origin(["python", "-m", "bench.load", *arguments], started_at, run.seconds)
    result |= {"interrupted": run.interrupted, "loop": options.loop, "planned": _planned(plan)}
    result |= summary(run.samples, run.seconds)
    if run.interrupted:
        err.print(f"Interrupted: these are the first {len(run.samples)} of {plan.total} requests.")
    report.show_load(out, result)
    report.save(options.json, result)
    if options.html:
        page.write(options.html, result, run.samples)
    return 0


def _planned(plan: Plan) -> dict[str, Any]:
    seconds = plan.seconds
    rate = round(plan.total / seconds, 3) if seconds else None
    return {"requests": plan.total, "seconds": seconds and round(seconds, 3), "requests_per_s": rate}


async def _measure(options: Namespace, plan: Plan, run: Run, err: Console) -> None:
    async with connect(options.url, options.concurrency, options.timeout, options.key) as client:
        await _require_server(client)
        with _progress(err) as progress:
            bar = progress.add_task(options.url, total=plan.total, failed="")

            def seen(_: Sample) -> None:
                failed = sum(sample.error is not None for sample in run.samples[-100:])
                progress.update(bar, advance=1, failed=f"{failed} of the last 100 failed" if failed else "")

            driver, planned = Driver(client, run, seen), iter(plan)  # before the clock starts
            if plan.timed:
                await driver.open(planned, options.concurrency)
            else:
                await driver.closed(planned, options.concurrency)


def _progress(err: Console) -> Progress:
    text, failed = TextColumn("{task.description}"), TextColumn("[red]{task.fields[failed]}")
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(text, BarColumn(), MofNCompleteColumn(), *times, failed, console=err)


async def _require_server(client: httpx2.AsyncClient) -> None:
    try:
        await client.get("/v1/models", timeout=10)  # any answer will do, a refusal too
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unreachable(
            f"Nothing answers at {client.base_url} ({type(error).__name__}): "
            "start it with `make run` or `pointsman up`, or name another server with --url"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
