"""Does the time of a refusal tell anything about a key? `python -m bench.key_timing` is refused 150,000 times.

Measures the check in one process, without a network, whose noise could only hide a difference. In random order, so
that a machine that becomes slower does not look like an answer.
"""

import argparse
import asyncio
import json
import math
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.machine import commit, machine
from serve.errors import Unauthorized
from serve.keys import credential, file
from serve.keys.config import KeysConfig, LimitsConfig
from serve.keys.entry import KeyEntry
from serve.keys.keyring import Keyring

KEYS = 100
KINDS = ("unknown_id", "wrong_secret", "nearly_right")


async def measure(count: int, seed: int) -> dict[str, list[int]]:
    """Nanoseconds of `count` refusals of each kind; nearly_right differs from a key in its last character."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.yaml"
        ids = [credential.mint() for _ in range(KEYS)]
        entries = [KeyEntry(id=public, name=f"k{n}", sha256=sha) for n, (public, _, sha) in enumerate(ids)]
        path.write_text("keys:\n" + "".join(file.written(entry) for entry in entries))
        ring = Keyring(KeysConfig(file=path), LimitsConfig)
        await ring.find(ids[0][1])
        rng = random.Random(seed)
        # Made beforehand: what was just in the processor's cache would be measured otherwise.
        asked = [(kind, _wrong(kind, rng.choice(ids)[1])) for kind in KINDS for _ in range(count)]
        rng.shuffle(asked)
        found: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for kind, key in asked:
            found[kind].append(await _refusal(ring, key))
        return found


def _wrong(kind: str, key: str) -> str:
    other = credential.mint()[1]
    if kind == "unknown_id":
        return other
    if kind == "wrong_secret":
        return key[:-43] + other[-43:]
    return key[:-1] + ("A" if key[-1] != "A" else "B")


async def _refusal(ring: Keyring, key: str) -> int:
    started = time.perf_counter_ns()
    try:
        await ring.find(key)
    except Unauthorized:
        return time.perf_counter_ns() - started
    raise AssertionError("a made-up key was let in")


def trimmed(times: list[int]) -> list[int]:
    """Without the slowest 1%: the scheduler's, not ours."""
    return sorted(times)[: int(len(times) * 0.99)]


def welch(one: list[int], other: list[int]) -> tuple[float, float]:
    """(t, two-sided p) of Welch's test, with the normal distribution: the samples are large."""
    spread = math.sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))
    t = (statistics.fmean(one) - statistics.fmean(other)) / spread
    return t, math.erfc(abs(t) / math.sqrt(2))


def main() -> None:
    """Print means and the test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    times = asyncio.run(measure(arguments.count, arguments.seed))
    kept = {kind: trimmed(found) for kind, found in times.items()}
    result: dict[str, Any] = {
        "machine": machine(),
        "commit": commit(),
        "count": arguments.count,
        "seed": arguments.seed,
        "mean_ns": {kind: statistics.fmean(found) for kind, found in kept.items()},
        "median_ns": {kind: statistics.median(found) for kind, found in kept.items()},
        "t_p": {kind: welch(kept["wrong_secret"], kept[kind]) for kind in KINDS if kind != "wrong_secret"},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
