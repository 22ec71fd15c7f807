"""The command line of `python -m bench.load`, checked, and the plan it stands for."""

import argparse
import math
import os
from pathlib import Path

from bench import prompts
from bench.load import arrivals
from bench.load.plan import Plan

MOST_OPEN = 1000
"""Requests under way at most in an open loop: above it the generator itself waits, and says so."""


def parse(arguments: list[str]) -> tuple[argparse.Namespace, Plan]:
    """Exits with status 2 and a message that names the option when something is wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.key = os.environ.get(options.api_key_env or "")
    if options.api_key_env and not options.key:
        parser.error(f"--api-key-env: {options.api_key_env} is not set in the environment")
    if not options.url.startswith(("http://", "https://")):
        parser.error(f"--url: {options.url} does not begin with http:// or https://")
    _settle_loop(parser, options)
    return options, _plan(parser, options)


def _settle_loop(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    timed = options.trace is not None or options.rate is not None
    options.loop = options.loop or ("open" if timed else "closed")
    if options.loop == "open" and not timed:
        parser.error("--loop open needs the times of a --trace or a --rate")
    if options.loop == "closed" and options.rate is not None:
        parser.error("--rate has no meaning in a closed loop: the server's speed sets the pace")
    if options.trace and options.rate:
        parser.error("--trace and --rate are two ways to say when requests come: give one (--speed, --scale)")
    if not options.trace and (options.scale != 1 or options.speed != 1):
        parser.error("--scale and --speed change a --trace, and none is given")
    if options.concurrency is None:
        options.concurrency = MOST_OPEN if options.loop == "open" else 8


def _plan(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Plan:
    try:
        mix = prompts.read(options.prompts) if options.prompts else prompts.built_in()
    except prompts.PromptsUnreadable as error:
        parser.error(f"--prompts: {error}")
    trace = _trace(parser, options)
    fixed: dict[str, object] = {"model": options.model}
    if options.stream:
        fixed |= {"stream": True, "stream_options": {"include_usage": True}}
    return Plan(
        total=_total(parser, options, trace),
        fixed=fixed,
        mix=mix,
        seed=options.seed,
        timed=options.loop == "open",
        rate=options.rate,
        trace=trace,
        input_limit=options.max_input,
        output_limit=options.max_tokens,
    )


def _trace(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[arrivals.Arrival]:
    if options.trace is None:
        return []
    try:
        recorded = arrivals.read(options.trace)
    except arrivals.TraceUnreadable as error:
        parser.error(f"--trace: {error}")
    found = arrivals.scaled(recorded, options.scale, options.speed, options.seed)
    if not found:
        parser.error(f"--scale: {options.scale:g} keeps none of the trace's {len(recorded)} requests")
    return found


def _total(
    parser: argparse.ArgumentParser, options: argparse.Namespace, trace: list[arrivals.Arrival]
) -> int:
    """How many requests: the smallest of what --requests, --seconds and the trace allow."""
    bounds = [options.requests] if options.requests else []
    if options.seconds is not None:
        if options.loop == "closed":
            parser.error(
                "--seconds cuts what is planned by its times, and a closed loop has none: --requests"
            )
        rate = options.rate or 0.0
        bounds.append(
            sum(arrival.at <= options.seconds for arrival in trace)
            if trace
            else max(1, round(options.seconds * rate))
        )
    if trace:
        bounds.append(len(trace))
    return min(bounds, default=200)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description="Load on any OpenAI-compatible server: closed loop, a rate, or a recorded trace.",
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="with or without /v1")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--stream", action="store_true", help="ask for streams and time their first token")
    parser.add_argument("--prompts", type=Path, help='.jsonl or .jsonl.gz with a "prompt" field')
    parser.add_argument("--max-tokens", type=_count, help="of an answer: 32, or at most what the trace says")
    parser.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the key")
    parser.add_argument("--timeout", type=_positive, default=120.0, help="seconds without a byte")
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    parser.add_argument("--html", type=Path, help="write a report with plots: one file, needs no network")
    when = parser.add_argument_group("when requests come")
    when.add_argument("--loop", choices=("open", "closed"), help="open with --trace or --rate, else closed")
    when.add_argument("--requests", type=_count, help="how many (200, or all of the trace)")
    when.add_argument(
        "--concurrency", type=_count, help=f"under way: 8 workers, or {MOST_OPEN} at most (open)"
    )
    when.add_argument("--rate", type=_positive, help="requests a second at random times (Poisson)")
    when.add_argument("--seconds", type=_positive, help="stop sending after so many seconds (open loop)")
    when.add_argument("--trace", type=Path, help="replay a .jsonl[.gz] with t, in_tok and out_tok")
    when.add_argument("--scale", type=_positive, default=1.0, help="times as many requests as in the trace")
    when.add_argument("--speed", type=_positive, default=1.0, help="times as fast as the trace")
    when.add_argument("--max-input", type=_count, help="cut the trace's prompts to so many tokens")
    when.add_argument("--seed", type=int, default=1)
    return parser


def _count(text: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number
