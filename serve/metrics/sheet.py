"""The numbers of one moment, as values: they can be written down, read back, added up and shown.

Knows numbers by metric and labels. Does not know what they mean.
"""

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from pydantic import BaseModel, ConfigDict, ValidationError

from serve.metrics.catalogue import BY_NAME, CATALOGUE, Merge, Metric

Series = tuple[str, tuple[str, ...]]
"""The name of a metric and the values of its labels."""

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


@dataclass(frozen=True, slots=True)
class Sheet:
    """counts and gauges: one number each. spreads: how many fell into each bucket, those above all, and the sum."""

    counts: Mapping[Series, float] = field(default_factory=dict)
    spreads: Mapping[Series, tuple[float, ...]] = field(default_factory=dict)
    gauges: Mapping[Series, float] = field(default_factory=dict)

    def less(self, other: "Sheet") -> "Sheet":
        """What was counted since `other`."""
        counts = {key: value - other.counts.get(key, 0) for key, value in self.counts.items()}
        spreads = {key: _less(value, other.spreads.get(key)) for key, value in self.spreads.items()}
        return Sheet(counts, spreads, self.gauges)

    @property
    def counted(self) -> "Sheet":
        """The same without gauges: they end with their Router."""
        return Sheet(self.counts, self.spreads)

    def total(self, metric: Metric, **labels: str) -> float:
        """The sum of a counter or gauge over every series that has these labels."""
        numbers = self.counts if metric.kind == "counter" else self.gauges
        return sum(value for key, value in numbers.items() if _has(metric, key, labels))

    def by(self, metric: Metric, label: str, **labels: str) -> dict[str, float]:
        """The same for each value of one label."""
        numbers, at = self.counts if metric.kind == "counter" else self.gauges, metric.labels.index(label)
        found: dict[str, float] = {}
        for key, value in numbers.items():
            if _has(metric, key, labels):
                found[key[1][at]] = found.get(key[1][at], 0) + value
        return found

    def quantile(self, metric: Metric, share: float, **labels: str) -> float | None:
        """The upper end of the bucket that holds this share of what was observed, in seconds; None for nothing."""
        rows = [row for key, row in self.spreads.items() if _has(metric, key, labels)]
        buckets = [sum(column) for column in zip(*rows, strict=True)][:-1]
        wanted, seen = share * sum(buckets), 0.0
        for limit, number in zip((*metric.buckets, metric.buckets[-1]), buckets, strict=False):
            seen += number
            if number and seen >= wanted:
                return limit
        return None


def _has(metric: Metric, key: Series, labels: Mapping[str, str]) -> bool:
    return key[0] == metric.name and all(
        key[1][metric.labels.index(name)] == value for name, value in labels.items()
    )


def _less(value: tuple[float, ...], other: tuple[float, ...] | None) -> tuple[float, ...]:
    return value if other is None else tuple(a - b for a, b in zip(value, other, strict=True))


def merged(sheets: Iterable[Sheet]) -> Sheet:
    """All of them as one: counters add up, gauges as their metric says."""
    counts: dict[Series, float] = {}
    spreads: dict[Series, tuple[float, ...]] = {}
    gauges: dict[Series, float] = {}
    for sheet in sheets:
        for key, value in sheet.counts.items():
            counts[key] = counts.get(key, 0) + value
        for key, row in sheet.spreads.items():
            old = spreads.get(key)
            spreads[key] = row if old is None else tuple(a + b for a, b in zip(old, row, strict=True))
        for key, value in sheet.gauges.items():
            gauges[key] = _AS[BY_NAME[key[0]].merge](gauges[key], value) if key in gauges else value
    return Sheet(counts, spreads, gauges)


_AS: Mapping[Merge, Callable[[float, float], float]] = {"sum": operator.add, "max": max, "min": min}


class _Written(BaseModel):
    model_config = ConfigDict(extra="ignore")

    counts: list[tuple[str, tuple[str, ...], float]]
    spreads: list[tuple[str, tuple[str, ...], tuple[float, ...]]]
    gauges: list[tuple[str, tuple[str, ...], float]]


def written(sheet: Sheet) -> str:
    """As JSON."""
    parts = {"counts": sheet.counts, "spreads": sheet.spreads, "gauges": sheet.gauges}
    return json.dumps({name: [[*key, value] for key, value in part.items()] for name, part in parts.items()})


def read(text: str) -> Sheet:
    """What `written` wrote; what another version wrote and this one does not know is left out."""
    try:
        found = _Written.model_validate_json(text)
    except ValidationError:
        return Sheet()
    return Sheet(
        {(name, labels): value for name, labels, value in found.counts if _known(name, labels)},
        {
            (name, labels): row
            for name, labels, row in found.spreads
            if _known(name, labels) and len(row) == len(BY_NAME[name].buckets) + 2
        },
        {(name, labels): value for name, labels, value in found.gauges if _known(name, labels)},
    )


def _known(name: str, labels: tuple[str, ...]) -> bool:
    return name in BY_NAME and len(labels) == len(BY_NAME[name].labels)


def exposed(sheet: Sheet) -> bytes:
    """In Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(sheet))
    return generate_latest(registry)


class _Shown(Collector):
    """The numbers as Prometheus's own types."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def collect(self) -> Iterator[Family]:
        """One family for each metric."""
        made = {metric.name: _family(metric) for metric in CATALOGUE}
        for numbers in (self._sheet.counts, self._sheet.gauges):
            for (name, labels), value in sorted(numbers.items()):
                family = made[name]
                assert not isinstance(family, HistogramMetricFamily)
                family.add_metric(labels, value)
        for (name, labels), row in sorted(self._sheet.spreads.items()):
            spread = made[name]
            assert isinstance(spread, HistogramMetricFamily)
            spread.add_metric(labels, _buckets(BY_NAME[name], row), row[-1])
        yield from made.values()


def _family(metric: Metric) -> Family:
    kinds = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    family: Family = kinds[metric.kind](metric.name, metric.help, labels=metric.labels)
    return family


def _buckets(metric: Metric, row: tuple[float, ...]) -> list[tuple[str, float]]:
    ends, seen = [*(f"{limit:g}" for limit in metric.buckets), "+Inf"], 0.0
    found: list[tuple[str, float]] = []
    for end, number in zip(ends, row[:-1], strict=True):
        seen += number
        found.append((end, seen))
    return found
