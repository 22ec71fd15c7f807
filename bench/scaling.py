"""A load step on a real graph with stub engines: overflow at once, new replicas, back to local.

    python -m bench.scaling --out bench/results/scaling.json --plot docs/scaling.svg
    python -m bench.scaling --engine vllm --before 40 --during 240 --after 90 --out FILE --plot FILE

Starts its own Ray, Router, HAProxy and a loopback cloud on this machine. Arrivals are open-loop: a full server is
still asked. Stub engines only wait: an answer takes as long here as there. `vllm` is the default model on this
machine's cores, which a second replica has to share.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import report, scaling_plot
from bench.client import Sample, connect, send
from bench.summary import percentiles
from tests.support.stub_child import StubGraph, stub_graph
from tests.support.upstream import ThreadedUpstream

ENGINE = "stub"
WORDS, WORD_S = 10, 0.2
ONGOING, QUEUED, TARGET = 4, 2, 2.5
MOST = {"stub": 5, "vllm": 2}
SERVICE_S = WORDS * WORD_S
ENGINES: dict[str, dict[str, Any]] = {
    "stub": {"model": "stub", "num_cpus": 0.1, "vllm": {"word_s": WORD_S}},
    "vllm": {
        "model": "qwen2.5-coder-0.5b-instruct",
        "num_cpus": 1,
        "kv_cache_gib": 1,
        "vllm": {"max_model_len": 2048, "max_num_seqs": ONGOING, "enforce_eager": True},
    },
}
PROMPTS = {"stub": "hello", "vllm": "Write a short story about a lighthouse."}
LENGTHS = {"stub": WORDS, "vllm": 48}
"""Tokens of an answer: about as many seconds for vLLM with a core to itself."""
QUEUE_WAIT_S = 0.05
"""What an interactive caller waits for a local slot while the cloud may answer at once."""
APART_S = 30
CAPACITY = TARGET / SERVICE_S
"""Requests a second that one replica takes at its target: 1x."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: when it was sent, when it ended (seconds of the run), and what came of it."""

    at: float
    end: float
    sample: Sample

    @property
    def local(self) -> bool:
        """An engine answered, not the cloud."""
        return self.sample.headers.get("lane", "").startswith("local")


@dataclass(slots=True)
class Run:
    """Everything that was seen."""

    arrivals: list[Arrival] = field(default_factory=list)
    replicas: list[dict[str, float]] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when a request failed or the step was not followed, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    started_at, began = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    with (
        ThreadedUpstream() as cloud,
        stub_graph(_config(cloud.url, options.policy, options.engine), options.engine) as graph,
    ):
        run = asyncio.run(_measure(graph, _rates(options), options))
    result = report.origin(
        ["python", "-m", "bench.scaling", *arguments], started_at, time.perf_counter() - began
    )
    result |= {
        "settings": _settings(options),
        "summary": summary(run, options.before)
        | overflow(run, options.before, options.before + options.during),
        "samples": samples(run),
    }
    report.save(options.out, result)
    if options.plot:
        scaling_plot.draw(result, options.plot)
    Console().print_json(data=result["summary"])
    return 0 if not result["summary"]["failed"] and result["summary"]["most_replicas"] > 1 else 1


def _config(cloud: str, policy: str, engine: str) -> dict[str, Any]:
    bounds = {
        "min_replicas": 1,
        "max_replicas": MOST[engine],
        "target_ongoing_requests": TARGET,
        "upscale_delay_s": 2,
        "downscale_delay_s": 10,
        "look_back_period_s": 4,
        "service_s": SERVICE_S,
        "policy": policy,
    }
    return {
        "keys": {"mode": "open"},
        "engines": {
            ENGINE: ENGINES[engine]
            | {"max_ongoing_requests": ONGOING, "max_queued_requests": QUEUED, "autoscaling": bounds}
        },
        "lanes": [
            {"name": "local", "kind": "engine", "engine": ENGINE, "context": 8192},
            {
                "name": "cloud",
                "kind": "openai",
                "model": f"slow_chunks_{SERVICE_S / 20 * 1000:.0f}",
                "base_url": f"{cloud}/v1",
                "location": "global",
                "context": 100_000,
            },
        ],
        "policy": {"rules": [{"name": "default", "prefer": ["local"], "because": "it costs least"}]},
        "dispatch": {"queue_wait_s": QUEUE_WAIT_S},
    }


def _rates(options: argparse.Namespace) -> list[float]:
    """Requests a second, second by second: what one replica takes with ease, then the step, then as before."""
    calm, busy = CAPACITY * options.base, CAPACITY * options.step
    return [calm] * options.before + [busy] * options.during + [calm] * options.after


async def _measure(graph: StubGraph, rates: Sequence[float], options: argparse.Namespace) -> Run:
    run, tasks, random_ = Run(), [], random.Random(options.seed)
    async with connect(graph.url, 200, 60, None) as client:
        began, wall = time.perf_counter(), time.time()

        async def ask(at: float) -> None:
            body = {
                "model": "auto",
                "messages": [{"role": "user", "content": PROMPTS[options.engine]}],
                "max_tokens": LENGTHS[options.engine],
                "stream": True,
            }
            sample = await send(client, "stub", body)
            run.arrivals.append(Arrival(at, time.perf_counter() - began, sample))

        for at in arrivals(rates, random_):
            await asyncio.sleep(max(0.0, at - (time.perf_counter() - began)))
            tasks.append(asyncio.create_task(ask(at)))
        await asyncio.gather(*tasks)
    run.replicas = [
        {
            "at": at - wall,
            "running": engines[ENGINE].get("RUNNING", 0),
            "starting": engines[ENGINE].get("STARTING", 0),
        }
        for at, engines in graph.seen
        if at >= wall
    ]
    return run


def arrivals(rates: Sequence[float], random_: random.Random) -> Iterator[float]:
    """Seconds at which requests arrive: evenly, each up to a third of the gap late; the rate is given by the second."""
    due = 0.0
    for second, rate in enumerate(rates):
        while due < second + 1:
            yield due + random_.random() / rate / 3
            due += 1 / rate


def samples(run: Run) -> list[dict[str, float]]:
    """One line for each second: what arrived then, who answered it, and how many were under way and running."""
    last = int(max(arrival.end for arrival in run.arrivals))
    return [_second(run, second) for second in range(last + 1)]


def _second(run: Run, second: int) -> dict[str, float]:
    came = [arrival for arrival in run.arrivals if second <= arrival.at < second + 1]
    under_way = [arrival for arrival in run.arrivals if arrival.at <= second < arrival.end]
    firsts = sorted(arrival.sample.first_token_s or 0 for arrival in came)
    seen = [entry for entry in run.replicas if entry["at"] <= second] or run.replicas[:1]
    return {
        "second": second,
        "offered": len(came),
        "local": sum(arrival.local for arrival in came),
        "cloud": sum(not arrival.local and not arrival.sample.error for arrival in came),
        "failed": sum(bool(arrival.sample.error) for arrival in came),
        "in_flight_local": sum(arrival.local for arrival in under_way),
        "in_flight_cloud": sum(not arrival.local for arrival in under_way),
        "first_token_s": round(firsts[len(firsts) // 2], 3) if firsts else 0.0,
        "running": seen[-1]["running"] if seen else 0,
        "starting": seen[-1]["starting"] if seen else 0,
    }


def summary(run: Run, step_at: int) -> dict[str, Any]:
    """The figures of the run. Seconds count from the load step; None: it did not happen."""
    spilled = [arrival.at for arrival in run.arrivals if not arrival.local and arrival.at >= step_at]
    counts = [entry["running"] for entry in run.replicas]
    turns = [right - left for left, right in pairwise(counts) if right != left]
    had = [entry["running"] for entry in run.replicas if entry["at"] < step_at][-1:] or counts[:1]
    more = [entry["at"] for entry in run.replicas if entry["running"] > had[0] and entry["at"] >= step_at]
    return {
        "requests": len(run.arrivals),
        "failed": sum(bool(arrival.sample.error) for arrival in run.arrivals),
        "local": sum(arrival.local for arrival in run.arrivals),
        "cloud": sum(not arrival.local for arrival in run.arrivals),
        "first_spill_s": round(min(spilled) - step_at, 1) if spilled else None,
        "first_new_replica_s": round(min(more) - step_at, 1) if more else None,
        "last_spill_s": round(max(spilled) - step_at, 1) if spilled else None,
        "most_replicas": int(max(counts)),
        "replicas_at_the_end": int(counts[-1]),
        "direction_changes": sum((left > 0) != (right > 0) for left, right in pairwise(turns)),
    }


def overflow(run: Run, step_at: int, ends_at: int) -> dict[str, Any]:
    """What the callers of the step noticed, beside those of the calm time in the same run.

    A `first token` includes everything. `decided` is the Router's own time for requests that it sent past the engine
    without asking it. `overflows` counts periods of spilling, at least 30 s apart: each is two changes of direction.
    """
    calm = [x for x in run.arrivals if x.at < step_at]
    busy = [x for x in run.arrivals if step_at <= x.at < ends_at]
    spilled = [x for x in run.arrivals if not x.local and not x.sample.error]
    decided = [
        float(x.sample.headers["overhead-ms"]) for x in spilled if x.sample.headers["reason"] == "overflow"
    ]
    first = {name: _firsts(some) for name, some in (("calm", calm), ("busy", busy))}
    at = sorted(x.at for x in spilled)
    return {
        "refused": sum((x.sample.error or "").startswith(("429", "503")) for x in run.arrivals),
        "first_token_calm_s": first["calm"],
        "first_token_step_s": first["busy"],
        "first_token_p99_ratio": round(first["busy"]["p99"] / first["calm"]["p99"], 2)
        if all(first.values())
        else None,
        "spilled_without_asking": len(decided),
        "spilled_after_asking": len(spilled) - len(decided),
        "decided_ms": percentiles(decided),
        "back_to_local_s": round(max(0.0, at[-1] - ends_at), 1) if at else None,
        "overflows": sum(right - left > APART_S for left, right in pairwise(at)) + bool(at),
    }


def _firsts(arrivals: Sequence[Arrival]) -> dict[str, float]:
    return percentiles([x.sample.first_token_s for x in arrivals if x.sample.first_token_s is not None]) or {}


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "engine": options.engine,
        "policy": options.policy,
        "seed": options.seed,
        "before_s": options.before,
        "during_s": options.during,
        "after_s": options.after,
        "base": options.base,
        "step": options.step,
        "capacity_per_s": CAPACITY,
        "service_s": SERVICE_S,
        "queue_wait_s": QUEUE_WAIT_S,
        "max_ongoing_requests": ONGOING,
        "max_queued_requests": QUEUED,
        "target_ongoing_requests": TARGET,
        "max_replicas": MOST[options.engine],
    }


def _parse(arguments: list[str]) -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=about)
    parser.add_argument("--out", type=Path, help="write every second of the run to this JSON file")
    parser.add_argument("--plot", type=Path, help="draw the run: .svg or .png")
    parser.add_argument("--engine", choices=("stub", "vllm"), default="stub", help="what answers locally")
    parser.add_argument("--policy", choices=("queue_and_spill", "queue"), default="queue_and_spill")
    parser.add_argument("--base", type=float, default=0.8, help="load in replicas' worth, before and after")
    parser.add_argument("--step", type=float, default=4.0, help="the same during the step")
    parser.add_argument("--before", type=int, default=15, help="seconds at the base load")
    parser.add_argument("--during", type=int, default=55, help="seconds at the step")
    parser.add_argument("--after", type=int, default=35, help="seconds at the base load again")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
