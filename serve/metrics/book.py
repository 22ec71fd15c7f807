"""Where one Router counts: plain numbers in dictionaries, because every request writes some twenty of them.

Belongs to the event loop. Knows no request.
"""

from bisect import bisect_left
from collections import Counter

from serve.metrics.catalogue import Metric
from serve.metrics.sheet import Series, Sheet

MOST_SERIES = 1_000
"""Of one metric; what is more is counted together."""
OTHER = "other"


class Book:
    """The counters and histograms of one process."""

    def __init__(self) -> None:
        self._counts: dict[Series, float] = {}
        self._spreads: dict[Series, list[float]] = {}
        self._sizes: Counter[str] = Counter()

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Count `by` more."""
        key = (metric.name, labels)
        try:
            self._counts[key] += by
        except KeyError:
            key = self._room(metric, labels)
            self._counts[key] = self._counts.get(key, 0) + by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """One more observation, in the metric's unit."""
        key = (metric.name, labels)
        if (row := self._spreads.get(key)) is None:
            key = self._room(metric, labels)
            row = self._spreads.setdefault(key, [0.0] * (len(metric.buckets) + 2))
        row[bisect_left(metric.buckets, value)] += 1
        row[-1] += value

    def sheet(self) -> Sheet:
        """The numbers now."""
        return Sheet(dict(self._counts), {key: tuple(row) for key, row in self._spreads.items()})

    def _room(self, metric: Metric, labels: tuple[str, ...]) -> Series:
        self._sizes[metric.name] += 1
        many = self._sizes[metric.name] > MOST_SERIES
        return metric.name, (OTHER,) * len(labels) if many else labels
