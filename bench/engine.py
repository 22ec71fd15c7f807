"""What the ingress costs an engine: Pointsman beside `vllm serve`, same engine arguments, same prompts, one run.

    python -m bench.engine --config configs/cpu.yaml --out bench/results/engine.json
    python -m bench.engine --config configs/gpu-1.yaml --engine general --apart --concurrency 1,8,32

Both servers are up and asked in turn, in rounds, so that what else the machine does meets both. `--apart` runs one
after the other: two copies of the weights do not fit every GPU. Linux only.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench import report
from bench.child import StartFailed
from bench.client import Sample, connect
from bench.engine_servers import NotUp, Server, one_engine, pointsman, vllm
from bench.load.drive import Driver, Run
from bench.load.plan import Planned
from bench.overhead.rig import Runner
from bench.prompts import Prompt
from bench.summary import percentiles

OURS, THEIRS = "pointsman", "vllm serve"
TOPICS = ("rivers", "bridges", "bread", "glaciers", "maps", "clocks", "printing", "the moon", "salt", "paper")
ASKS = (
    "Write a long story about {}.",
    "Tell the history of {} in many paragraphs.",
    "Explain {} to a child.",
)
err = Console(stderr=True)


@dataclass(slots=True)
class Bursts:
    """What one server did at one concurrency, all rounds together."""

    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    cpu_ms: float = 0.0


Found = dict[int, dict[str, Bursts]]


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when a server did not come up or did not answer everything, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    started_at, began = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    try:
        found, engine = _measure(options)
    except (NotUp, StartFailed) as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        err.print("Interrupted before everything was measured; both servers are stopped.")
        return 1
    result = report.origin(
        ["python", "-m", "bench.engine", *arguments], started_at, time.perf_counter() - began
    )
    result |= {"load_average_at_end": [round(load, 2) for load in psutil.getloadavg()]}
    result |= {"engine": engine, "settings": _settings(options), "found": figures(found)}
    _show(Console(), result["found"])
    report.save(options.out, result)
    return int(any(row["failed"] for rows in result["found"].values() for row in rows["servers"].values()))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    names = ("concurrency", "requests", "rounds", "max_tokens", "apart")
    return {name: getattr(options, name) for name in names}


def _measure(options: argparse.Namespace) -> tuple[Found, dict[str, Any]]:
    found: Found = {at_once: {OURS: Bursts(), THEIRS: Bursts()} for at_once in options.concurrency}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, engine = one_engine(options.config, options.engine, folder)
        ours = pointsman(config, options.proxy, options.timeout)
        theirs = vllm(engine, folder, options.timeout)
        if options.apart:
            for server in (ours, theirs):
                with server as up:
                    _rounds([up], found, options)
        else:
            with ExitStack() as stack:
                _rounds([stack.enter_context(server) for server in (ours, theirs)], found, options)
        return found, {"model": Path(engine.model).name, "vllm": engine.vllm, "num_gpus": engine.num_gpus}


def _rounds(servers: Sequence[Server], found: Found, options: argparse.Namespace) -> None:
    for server in servers:
        server.wait()
    for server in servers:
        asyncio.run(_burst(server, 2, 4, options, Bursts(), turn=-1))
    for turn in range(options.rounds):
        for at_once, bursts in found.items():
            # Whoever is asked second finds the machine as the first left it: they take turns.
            for server in servers if turn % 2 else servers[::-1]:
                err.print(f"round {turn + 1}, {at_once} at a time: {server.name}", highlight=False)
                asyncio.run(_burst(server, at_once, options.requests, options, bursts[server.name], turn))


async def _burst(
    server: Server, at_once: int, requests: int, options: argparse.Namespace, into: Bursts, turn: int
) -> None:
    run, runner = Run(), Runner(server.name, "", server.url, root=server.root, mark=server.mark)
    before = runner.cpu_ms()
    async with connect(server.url, at_once, options.timeout, None) as client:
        planned = _asked(server.model, options.max_tokens, requests * max(1, at_once // 2), turn)
        await Driver(client, run, lambda _: None).closed(planned, at_once)
    into.cpu_ms += sum(ms - before.get(pid, 0.0) for pid, ms in runner.cpu_ms().items())
    into.samples += run.samples
    into.seconds += run.seconds


def _asked(model: str, max_tokens: int, requests: int, turn: int) -> Iterator[Planned]:
    """The same prompts for both servers, and others in each round: neither finds them in its cache."""
    for number in range(requests):
        ask, topic = ASKS[number % len(ASKS)], TOPICS[number // len(ASKS) % len(TOPICS)]
        text = f"Round {turn}, request {number}. {ask.format(topic)}"
        body = {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0}
        body |= {"max_tokens": max_tokens, "stream": True, "stream_options": {"include_usage": True}}
        yield Planned(Prompt("story", body))


def figures(found: Found) -> dict[str, Any]:
    """By concurrency: both servers, and Pointsman's figures as a share of vLLM's (seconds: the difference)."""
    return {f"{at_once} at a time": _pair(bursts) for at_once, bursts in found.items()}


def _pair(bursts: dict[str, Bursts]) -> dict[str, Any]:
    rows = {name: _row(burst) for name, burst in bursts.items()}
    ours, theirs = rows[OURS], rows[THEIRS]
    pair: dict[str, Any] = {"servers": rows, "tokens_per_s_ratio": None, "added_first_token_p50_ms": None}
    with suppress(TypeError, ZeroDivisionError):
        pair["tokens_per_s_ratio"] = round(ours["tokens_per_s"] / theirs["tokens_per_s"], 3)
    with suppress(TypeError):
        added = ours["first_token_s"]["p50"] - theirs["first_token_s"]["p50"]
        pair["added_first_token_p50_ms"] = round(added * 1000, 1)
    return pair


def _row(burst: Bursts) -> dict[str, Any]:
    whole = [sample for sample in burst.samples if sample.error is None]
    tokens = sum(sample.output_tokens or 0 for sample in whole)
    return {
        "requests": len(whole),
        "failed": len(burst.samples) - len(whole),
        "output_tokens": tokens,
        "tokens_per_s": round(tokens / burst.seconds, 2) if burst.seconds else None,
        "first_token_s": percentiles([s.wait_s for s in whole if s.wait_s is not None]),
        "between_tokens_s": percentiles([s.gap_s for s in whole if s.gap_s is not None]),
        "latency_s": percentiles([sample.latency_s for sample in whole]),
        "cpu_ms_per_token": round(burst.cpu_ms / tokens, 2) if tokens else None,
    }


def _show(console: Console, found: dict[str, Any]) -> None:
    for name, pair in found.items():
        table = Table("", "tokens/s", "first token p50 s", "p95", "between tokens p50 s", "CPU-ms/token", "failed",
                      title=name, title_justify="left")  # fmt: skip
        for server, row in pair["servers"].items():
            first, gap = row["first_token_s"] or {}, row["between_tokens_s"] or {}
            cells = (row["tokens_per_s"], first.get("p50"), first.get("p95"), gap.get("p50"))
            table.add_row(server, *map(_text, (*cells, row["cpu_ms_per_token"])), str(row["failed"]))
        console.print(table)
        ratio, added = pair["tokens_per_s_ratio"], pair["added_first_token_p50_ms"]
        console.print(f"tokens/s: {_text(ratio)} of vLLM's; first token: {_text(added)} ms later (p50)")


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.engine", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--config", type=Path, default=Path("configs/cpu.yaml"))
    parser.add_argument("--engine", help="name in the configuration; else its first")
    parser.add_argument(
        "--concurrency", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8]
    )
    parser.add_argument(
        "--requests", type=int, default=6, help="of one burst one at a time; more at once: n/2 times"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--apart", action="store_true", help="one server after the other, not both at once")
    parser.add_argument("--proxy", choices=("haproxy", "plain"), default="haproxy")
    parser.add_argument("--timeout", type=float, default=900, help="seconds until a server has to be up")
    parser.add_argument("--out", type=Path, help="write everything to this file too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
