"""When requests come and how long they are: read from a recorded trace, or drawn at a rate. Sends nothing."""

import gzip
import json
import math
import random
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

COPY_SPREAD_S = 1.0
"""How much later than its original, in seconds of the trace, a copy may come."""


class TraceUnreadable(Exception):
    """The message names the file, the line and the fault."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a trace. `at`: seconds from the start; `prefix`: blocks of 512 tokens shared with others."""

    at: float
    input_tokens: int
    output_tokens: int
    prefix: tuple[int, ...] = ()


def read(path: Path) -> tuple[Arrival, ...]:
    """The requests of a .jsonl or .jsonl.gz trace in order. Raises TraceUnreadable."""
    try:
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise TraceUnreadable(f"{path}: {error}") from error
    arrivals = tuple(_arrival(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not arrivals:
        raise TraceUnreadable(f"{path}: no requests in it")
    return tuple(sorted(arrivals, key=lambda arrival: arrival.at))


def _arrival(path: Path, number: int, line: str) -> Arrival:
    try:
        row = json.loads(line)
        at, size, answer = (_number(row[name]) for name in ("t", "in_tok", "out_tok"))
        prefix = tuple(int(block) for block in row.get("hash_ids") or ())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TraceUnreadable(
            f'{path}:{number}: not a JSON object with the numbers "t" (seconds from the start), '
            '"in_tok" and "out_tok", all 0 or more'
        ) from None
    return Arrival(at, max(1, int(size)), max(1, int(answer)), prefix)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(value)
    return value


def scaled(arrivals: Iterable[Arrival], scale: float, speed: float, seed: int) -> list[Arrival]:
    """`scale` times as many requests, `speed` times as fast, in order and from 0 on.

    Below 1 each request is kept with that probability, so bursts stay bursts; above 1 copies come up to
    COPY_SPREAD_S later than their original.
    """
    draw = random.Random(seed)
    found: list[Arrival] = []
    for arrival in arrivals:
        for copy in range(int(scale) + (draw.random() < scale % 1)):
            at = (arrival.at + (draw.uniform(0, COPY_SPREAD_S) if copy else 0.0)) / speed
            found.append(Arrival(at, arrival.input_tokens, arrival.output_tokens, arrival.prefix))
    found.sort(key=lambda arrival: arrival.at)
    start = found[0].at if found else 0.0
    return [Arrival(a.at - start, a.input_tokens, a.output_tokens, a.prefix) for a in found]


def poisson(rate: float, seed: int) -> Iterator[float]:
    """Seconds from the start, without end: `rate` a second, independent of each other."""
    draw, at = random.Random(seed), 0.0
    for _ in count():
        yield at
        at += draw.expovariate(rate)
