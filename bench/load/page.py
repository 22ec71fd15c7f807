"""The report of one load run as a single HTML file: no script, no font and no picture from anywhere else."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.client import Sample
from bench.load import plots
from bench.summary import POINTS

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; background: #fff; margin: 2rem auto; max-width: 62rem;
       padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p.note, figcaption { color: #57606a; font-size: .87rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0; }
.tile { border: 1px solid #d0d7de; border-radius: 8px; padding: .5rem .9rem; min-width: 7.5rem; }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; } .tile.bad b { color: #c0392b; }
.tile span { color: #57606a; font-size: .8rem; }
table { border-collapse: collapse; margin: .4rem 0; } th, td { padding: .2rem .8rem .2rem 0; text-align: right;
        border-bottom: 1px solid #eaeef2; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: #57606a; font-size: .85rem; }
.wide { overflow-x: auto; } figure { margin: 1.2rem 0; } svg { width: 100%; height: auto; }
code { font-size: .85rem; background: #f6f8fa; padding: .1rem .3rem; border-radius: 4px; overflow-wrap: anywhere; }
"""
TIMES = {
    "latency": ("latency_s", "s"),
    "first token": ("first_token_s", "s"),
    "between tokens": ("between_tokens_s", "s"),
    "sent late": ("sent_late_s", "s"),
    "Pointsman's overhead": ("overhead_ms", "ms"),
}
LATE_S = 0.05
"""A generator that is later than this at p99 measures itself too."""


def write(path: Path, result: Mapping[str, Any], samples: Sequence[Sample]) -> None:
    """One file at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_page(result, samples), encoding="utf-8")


def _page(result: Mapping[str, Any], samples: Sequence[Sample]) -> str:
    pictures = plots.all_of(samples, result["duration_s"]) if samples else {}
    figures = "".join(f"<h2>{escape(title)}</h2><figure>{svg}</figure>" for title, svg in pictures.items())
    splits = "".join(
        _split(title, result[name], result["requests"])
        for title, name in (
            ("Errors", "errors"),
            ("Lanes", "lanes"),
            ("Reasons", "reasons"),
            ("Attempts", "attempts"),
            ("Kinds", "kinds"),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Load report</title><style>{STYLE}</style></head><body>"
        f"{_head(result)}{_tiles(result)}{_warnings(result)}{_times(result)}{figures}{splits}</body></html>\n"
    )


def _head(result: Mapping[str, Any]) -> str:
    machine, commit = result["machine"], result["commit"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    sha = (commit["sha"] or "none")[:8]
    return (
        f"<h1>Load report</h1><p class=note>{escape(result['started_at'])}, {result['loop']} loop; made on "
        f"{escape(where)}, commit {escape(sha)}<br><code>{escape(' '.join(result['command']))}</code></p>"
    )


def _tiles(result: Mapping[str, Any]) -> str:
    failed = result["requests"] - result["ok"]
    latency = result["latency_s"] or {}
    tiles = [
        ("requests", result["requests"], ""),
        ("failed", failed, "bad" if failed else ""),
        ("answers a second", _shown(result["requests_per_s"]), ""),
        ("output tokens a second", _shown(result["tokens_per_s"]), ""),
        ("latency p50", _shown(latency.get("p50"), " s"), ""),
        ("latency p99", _shown(latency.get("p99"), " s"), ""),
        ("spilled", result["spilled"], ""),
    ]
    if result["spend"]["answers"]:
        tiles.append(("US dollars spent", f"{result['spend']['usd']:.4f}", ""))
    cells = (
        f'<div class="tile {mark}"><b>{value}</b><span>{name}</span></div>' for name, value, mark in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _warnings(result: Mapping[str, Any]) -> str:
    notes = []
    if result["interrupted"]:
        notes.append("The run was interrupted: requests under way then are not counted.")
    if result["loop"] == "closed":
        notes.append(
            "Closed loop: a slow server was asked less often, so these are no times at a rate of arrivals."
        )
    late = result["sent_late_s"]
    if result["loop"] == "open" and late and late["p99"] > LATE_S:
        notes.append(
            f"1% of the requests were sent {late['p99']:.2f} s or more after they were due: this machine or "
            "--concurrency could not keep up. Latency counts from when they were due."
        )
    return "".join(f"<p class=note>{escape(note)}</p>" for note in notes)


def _times(result: Mapping[str, Any]) -> str:
    rows = []
    for name, (field, unit) in TIMES.items():
        if (figures := result[field]) is not None:
            cells = "".join(f"<td>{figures[point]:.4g}</td>" for point in POINTS)
            rows.append(f"<tr><td>{escape(name)}, {unit}</td>{cells}</tr>")
    heads = "".join(f"<th>{point}</th>" for point in POINTS)
    table = f"<table><tr><th></th>{heads}</tr>{''.join(rows)}</table>"
    return f'<h2>Times of whole answers</h2><div class="wide">{table}</div>'


def _split(title: str, counts: Mapping[str, int], total: int) -> str:
    if not counts:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{count}</td><td>{count / total:.1%}</td></tr>"
        for name, count in counts.items()
    )
    heads = "<tr><th></th><th>requests</th><th>share</th></tr>"
    return f'<h2>{title}</h2><div class="wide"><table>{heads}{rows}</table></div>'


def _shown(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.4g}{unit}"
