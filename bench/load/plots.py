"""The pictures of one load run as SVG text. Does not measure."""

import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.client import Sample

INK, FAINT, BAD = "#24292f", "#8c959f", "#c0392b"
PALETTE = ("#2a7f62", "#d98a29", "#3b6ea5", "#8e5ea2", "#7a8b2f", "#b05d6b", "#4b8b9b", "#6b6b6b")
WINDOWS = 60
UNKNOWN = "server"


def all_of(samples: Sequence[Sample], seconds: float) -> dict[str, str]:
    """Title to picture; without a title for what there is nothing to show of."""
    whole = [sample for sample in samples if sample.error is None]
    if not whole:
        return {"Requests over time": _svg(lambda axes: _rates(axes, samples, seconds))}
    return {
        "Requests over time": _svg(lambda axes: _rates(axes, samples, seconds)),
        "Latency over time": _svg(lambda axes: _latency(axes, whole, seconds)),
        "Latency by percentile": _svg(lambda axes: _percentiles(axes, whole)),
        "Requests under way": _svg(lambda axes: _under_way(axes, samples)),
        "Who answered": _svg(lambda axes: _lanes(axes, whole, seconds)),
    }


def _svg(draw: Callable[[Any], None]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "pointsman", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.6, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
        draw(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]


def _edges(seconds: float) -> np.ndarray:
    windows = int(min(WINDOWS, max(1, math.ceil(seconds))))
    return np.linspace(0, max(seconds, 0.001), windows + 1)


def _rates(axes: Any, samples: Sequence[Sample], seconds: float) -> None:
    edges = _edges(seconds)
    width = edges[1] - edges[0]
    due = [sample.at for sample in samples]
    done = [sample.at + sample.latency_s for sample in samples if sample.error is None]
    bad = [sample.at + sample.latency_s for sample in samples if sample.error is not None]
    for times, color, label in ((due, INK, "due"), (done, PALETTE[0], "answered"), (bad, BAD, "failed")):
        if times:
            counts = np.histogram(np.clip(times, 0, edges[-1]), edges)[0] / width
            axes.stairs(counts, edges, color=color, linewidth=1.4, label=label)
    axes.set_ylabel("requests a second")
    axes.set_xlabel("seconds")
    axes.set_ylim(bottom=0)


def _latency(axes: Any, whole: Sequence[Sample], seconds: float) -> None:
    for color, lane in zip(PALETTE, _names(whole), strict=False):
        own = [sample for sample in whole if _lane(sample) == lane]
        dots = ([sample.at for sample in own], [sample.latency_s for sample in own])
        axes.scatter(*dots, s=16, color=color, alpha=0.5, linewidths=0, label=lane)
    edges = _edges(seconds)
    place = np.clip(np.digitize([sample.at for sample in whole], edges) - 1, 0, len(edges) - 2)
    times = np.array([sample.latency_s for sample in whole])
    for percent, style in ((50, "-"), (99, "--")):
        found = {i: np.percentile(times[place == i], percent) for i in np.unique(place)}
        middles = [(edges[i] + edges[i + 1]) / 2 for i in found]
        axes.plot(
            middles, list(found.values()), style, color=INK, linewidth=1.1, label=f"p{percent} of a window"
        )
    axes.set_ylabel("seconds to the last byte")
    axes.set_xlabel("second in which the request was due")
    _log_if_wide(axes, times)


def _log_if_wide(axes: Any, times: np.ndarray) -> None:
    if times.min() > 0 and times.max() / times.min() > 50:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _percentiles(axes: Any, whole: Sequence[Sample]) -> None:
    series = {
        "latency": [sample.latency_s for sample in whole],
        "from the real send": [sample.seconds for sample in whole],
        "first token": [sample.wait_s for sample in whole if sample.wait_s is not None],
    }
    for (name, values), color in zip(series.items(), PALETTE, strict=False):
        if values:
            ordered = np.sort(values)
            share = np.arange(len(ordered)) / len(ordered)
            axes.step(1 / (1 - share), ordered, where="post", color=color, linewidth=1.4, label=name)
    axes.set_xscale("log")
    points = [p for p in (0, 50, 90, 99, 99.9, 99.99) if 1 / (1 - p / 100) <= len(whole) * 1.01]
    axes.set_xticks([1 / (1 - p / 100) for p in points], [f"{p:g}%" for p in points])
    axes.minorticks_off()
    axes.set_xlabel("share of answers that were at least as fast")
    axes.set_ylabel("seconds")
    axes.set_ylim(bottom=0)


def _under_way(axes: Any, samples: Sequence[Sample]) -> None:
    steps = Counter[float]()
    for sample in samples:
        steps[sample.at] += 1
        steps[sample.at + sample.latency_s] -= 1
    times = sorted(steps)
    axes.step(times, np.cumsum([steps[at] for at in times]), where="post", color=PALETTE[2], linewidth=1.1)
    axes.set_ylabel("due and not yet answered")
    axes.set_xlabel("seconds")
    axes.set_ylim(bottom=0)


def _lanes(axes: Any, whole: Sequence[Sample], seconds: float) -> None:
    edges = _edges(seconds)
    bottom = np.zeros(len(edges) - 1)
    for color, lane in zip(PALETTE, _names(whole), strict=False):
        times = np.clip([sample.at for sample in whole if _lane(sample) == lane], 0, edges[-1])
        counts = np.histogram(times, edges)[0] / (edges[1] - edges[0])
        axes.stairs(bottom + counts, edges, baseline=bottom, fill=True, color=color, alpha=0.85, label=lane)
        bottom = bottom + counts
    axes.set_ylabel("answers a second")
    axes.set_xlabel("second in which the request was due")
    axes.set_ylim(bottom=0)


def _names(whole: Sequence[Sample]) -> list[str]:
    """Lanes, the busiest first; as many as there are colours."""
    return [name for name, _ in Counter(map(_lane, whole)).most_common(len(PALETTE))]


def _lane(sample: Sample) -> str:
    return sample.headers.get("lane", UNKNOWN)
