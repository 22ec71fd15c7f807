"""Results as tables for people and as JSON for files. Does not measure."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.machine import ROOT, commit, machine
from bench.summary import POINTS

# An absolute path of two parts or more, also after sqlite:///; but neither a URL's nor a route of ours.
PLACE = re.compile(r"""(?:(?<=sqlite:///)|(?<![\w.~:/-]))/(?!v1/|-/)[^\s"'`,;:()<>/]+/[^\s"'`,;:()<>]+""")


def origin(command: list[str], started_at: str, duration_s: float) -> dict[str, Any]:
    """What a figure is worth nothing without: command, machine, commit, time."""
    return {
        "command": [without_places(argument) for argument in command],
        "started_at": started_at,
        "duration_s": round(duration_s, 3),
        "machine": machine(),
        "commit": commit(),
    }


def without_places(text: str) -> str:
    """`text` with each path of this machine short: where a machine keeps things is nobody's business.

    A file of this tree by its path in it, one of an installed package by its path in that, another by its name.
    """
    return PLACE.sub(_short, text)


def _short(found: re.Match[str]) -> str:
    place = found[0]
    if (package := place.rpartition("/site-packages/")[2]) != place:
        return package
    path = Path(place)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def save(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write `result`, without places; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_public(result), indent=2) + "\n", encoding="utf-8")


def _public(value: Any) -> Any:
    if isinstance(value, str):
        return without_places(value)
    if isinstance(value, Mapping):
        return {key: _public(item) for key, item in value.items()}
    return [_public(item) for item in value] if isinstance(value, list | tuple) else value


def show_load(console: Console, result: Mapping[str, Any]) -> None:
    """The tables of one load run."""
    console.print(_counts(result))
    console.print(_times(result))
    if result["spend"]["answers"]:
        console.print(f"Spent: {result['spend']['usd']:.6f} USD on {result['spend']['answers']} answers")
    for name in ("errors", "lanes", "attempts", "reasons"):
        if result[name]:
            console.print(_split(name, result[name], result["requests"]))


def times_row(table: Table, name: str, figures: Mapping[str, float] | None, unit: str) -> None:
    """One line of percentiles; a line of dashes when nothing was measured."""
    cells = [f"{figures[point]:.4g}" for point in POINTS] if figures else ["-"] * len(POINTS)
    table.add_row(name, *cells, unit)


def times_table() -> Table:
    """An empty table for `times_row`."""
    table = Table("", *POINTS, "unit", title="Times (whole answers only)", title_justify="left")
    for column in table.columns[1:-1]:
        column.justify = "right"
    return table


def _counts(result: Mapping[str, Any]) -> Table:
    table = Table("requests", "ok", "seconds", "requests/s", "output tokens", "tokens/s")
    figures = result["requests"], result["ok"], result["duration_s"], result["requests_per_s"]
    table.add_row(*map(_text, (*figures, result["output_tokens"]["total"], result["tokens_per_s"])))
    return table


def _times(result: Mapping[str, Any]) -> Table:
    table = times_table()
    times_row(table, "latency", result["latency_s"], "s")
    times_row(table, "first token", result["first_token_s"], "s")
    times_row(table, "between tokens", result["between_tokens_s"], "s")
    times_row(table, "sent late", result["sent_late_s"], "s")
    times_row(table, "Pointsman's overhead", result["overhead_ms"], "ms")
    return table


def _split(name: str, counts: Mapping[str, int], total: int) -> Table:
    table = Table(name, "requests", "share")
    for value, count in counts.items():
        table.add_row(value, str(count), f"{count / total:.0%}")
    return table


def _text(value: object) -> str:
    return "-" if value is None else str(value)
