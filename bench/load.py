"""Closed-loop load on any OpenAI-compatible server: a worker sends again as soon as it has its answer.

    python -m bench.load --url http://127.0.0.1:8000 --requests 200 --concurrency 8 --stream

Does not know what answers; lanes, reasons and overhead are shown where the server is a Pointsman.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import prompts, report
from bench.client import Sample, connect, send
from bench.prompts import Prompt
from bench.summary import summary


class Unreachable(Exception):
    """Nothing answers at the URL."""


@dataclass(slots=True)
class Run:
    """What has been measured so far; whole even when Ctrl-C ends the run."""

    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when the server cannot be reached, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    out, err, run = Console(), Console(stderr=True), Run()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        asyncio.run(_measure(options, run, err))
    except KeyboardInterrupt:
        run.interrupted = True
    except Unreachable as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    result = report.origin(["python", "-m", "bench.load", *arguments], started_at, run.seconds)
    result |= {"interrupted": run.interrupted} | summary(run.samples, run.seconds)
    if run.interrupted:
        err.print(f"Interrupted: these are the first {len(run.samples)} of {options.requests} requests.")
    report.show_load(out, result)
    report.save(options.json, result)
    return 0


async def _measure(options: argparse.Namespace, run: Run, err: Console) -> None:
    async with connect(options.url, options.concurrency, options.timeout, options.key) as client:
        await _require_server(client)
        queue = iter(_bodies(options))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=err) as progress:
            bar = progress.add_task(options.url, total=options.requests)

            async def work() -> None:
                for prompt in queue:
                    run.samples.append(await send(client, prompt.kind, prompt.body))
                    progress.advance(bar)

            started = time.perf_counter()
            try:
                await asyncio.gather(*(work() for _ in range(options.concurrency)))
            finally:
                run.seconds = time.perf_counter() - started


async def _require_server(client: httpx2.AsyncClient) -> None:
    try:
        await client.get("/v1/models", timeout=10)  # any answer will do, a refusal too
    except httpx2.HTTPError as error:
        raise Unreachable(
            f"Nothing answers at {client.base_url} ({type(error).__name__}): "
            "start it with `make run` or `pointsman up`, or name another server with --url"
        ) from error


def _bodies(options: argparse.Namespace) -> Iterator[Prompt]:
    """As many prompts as there are requests, in the same order every time."""
    extra: dict[str, Any] = {"model": options.model, "max_tokens": options.max_tokens}
    if options.stream:
        extra |= {"stream": True, "stream_options": {"include_usage": True}}
    for number in range(options.requests):
        prompt = options.mix[number % len(options.mix)]
        yield Prompt(prompt.kind, prompt.body | extra)


def _parse(arguments: list[str]) -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=about)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="with or without /v1")
    parser.add_argument("--requests", type=_positive, default=200)
    parser.add_argument("--concurrency", type=_positive, default=8, help="requests in flight at any time")
    parser.add_argument("--stream", action="store_true", help="ask for streams and time their first token")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--prompts", type=Path, help='.jsonl or .jsonl.gz with a "prompt" field')
    parser.add_argument("--max-tokens", type=_positive, default=32)
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    parser.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the key")
    parser.add_argument("--timeout", type=float, default=120, help="seconds without a byte")
    options = parser.parse_args(arguments)
    options.key = os.environ.get(options.api_key_env or "")
    if options.api_key_env and not options.key:
        parser.error(f"--api-key-env: {options.api_key_env} is not set in the environment")
    try:
        options.mix = prompts.read(options.prompts) if options.prompts else prompts.built_in()
    except prompts.PromptsUnreadable as error:
        parser.error(f"--prompts: {error}")
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
