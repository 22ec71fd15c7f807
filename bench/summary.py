"""Samples to figures: percentiles, rates and splits. Pure: no clock, no I/O."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bench.client import Sample

POINTS = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
PASSED = ("full", "absent", "silent", "overloaded")
"""What `x-pointsman-trail` says of a lane that a request went past because of its load."""


def summary(samples: Sequence[Sample], duration_s: float) -> dict[str, Any]:
    """All figures of one run. Times and tokens are those of whole answers; failures are only counted."""
    whole = [sample for sample in samples if sample.error is None]
    tokens = [sample.output_tokens for sample in whole if sample.output_tokens is not None]
    return {
        "requests": len(samples),
        "ok": len(whole),
        "errors": _counted(sample.error for sample in samples),
        "kinds": _counted(sample.kind for sample in samples),
        "requests_per_s": _rate(len(whole), duration_s),
        "latency_s": percentiles([sample.latency_s for sample in whole]),
        "first_token_s": percentiles([s.wait_s for s in whole if s.wait_s is not None]),
        "between_tokens_s": percentiles([s.gap_s for s in whole if s.gap_s is not None]),
        "sent_late_s": percentiles([sample.late_s for sample in samples]),
        "input_tokens": sum(sample.input_tokens or 0 for sample in whole),
        "output_tokens": {"total": sum(tokens), "reported_by": len(tokens)},
        "tokens_per_s": _rate(sum(tokens), duration_s),
        "lanes": _split(whole, "lane"),
        "spilled": sum(map(spilled, whole)),
        "spend": _spend(whole),
        "attempts": _split(whole, "attempts"),
        "reasons": _split(samples, "reason"),
        "overhead_ms": percentiles(_overheads(whole)),
    }


def spilled(sample: Sample) -> bool:
    """Whether another lane answered because the first was full or not there; False where no Pointsman says so."""
    trail = [step.partition("=")[2] for step in sample.headers.get("trail", "").split(", ")]
    return sample.headers.get("reason") == "overflow" or any(end in PASSED for end in trail[:-1])


def _spend(samples: Iterable[Sample]) -> dict[str, Any]:
    """What the answers cost by the server's own word, and how many answers had that word."""
    costs = [sample.cost_usd for sample in samples if sample.cost_usd is not None]
    return {"usd": round(sum(costs), 6), "answers": len(costs)}


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Nearest rank: every figure is one that was measured. None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return {name: round(ordered[math.ceil(p / 100 * len(ordered)) - 1], 4) for name, p in POINTS.items()}


def _rate(count: int, duration_s: float) -> float | None:
    return round(count / duration_s, 2) if duration_s > 0 else None


def _split(samples: Iterable[Sample], header: str) -> dict[str, int]:
    return _counted(sample.headers.get(header) for sample in samples)


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(value for value in values if value is not None).most_common())


def _overheads(samples: Iterable[Sample]) -> list[float]:
    found = []
    for sample in samples:
        try:
            found.append(float(sample.headers["overhead-ms"]))
        except (KeyError, ValueError):
            continue  # another server than Pointsman
    return found
