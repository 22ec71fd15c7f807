"""The figures of a tool-call replay as tables, and what escalation would add. Measures no verdict."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bench.quality.tools import Replayed

Rows = Mapping[tuple[str, str], "Sequence[Replayed]"]
_SHARES = (
    "raw_valid", "repaired_valid", "format_repaired", "type_repaired", "broken", "violation_recall", "false_rejects",
)  # fmt: skip
_HEADS = ("raw", "repaired", "format", "type", "broken", "recall", "rejects")


def show(console: Console, results: Sequence[Mapping[str, Any]], replayed: Rows) -> None:
    """One line per set and model, then all together, then each category."""
    table = _table("Tool calls", "set", "model", "n", *_HEADS, "escalated", "with escalation")
    chains = {key: _escalated(key, replayed) for key in replayed}
    for one in results:
        shares = [_cell(one[name]) for name in _SHARES]
        cells = [_cell(x) for x in chains[one["set"], one["model"]]]
        table.add_row(one["set"], one["model"], str(one["n"]), *shares, *cells)
    console.print(table)
    console.print(together(replayed))
    botched = [row for rows in replayed.values() for row in rows if row.fault == "format"]
    held = [row for row in botched if row.holds_call]
    right, silent = sum(row.right for row in held), len(botched) - len(held)
    if held:
        console.print(
            f"format or decoder errors: {len(botched)}; {silent} of them hold no call of an offered tool; "
            f"{right} of those that hold one are mended; {sum(r.right for r in botched) / len(botched):.3f} of all"
        )


def together(replayed: Rows) -> Table:
    """The shares over all models, by category: every output counts the same."""
    from bench.quality.tools import figures

    everything = [row for rows in replayed.values() for row in rows]
    table = _table("All models", "category", "n", *_HEADS)
    for category in (*sorted({row.category for row in everything}), "all"):
        rows = [row for row in everything if category in ("all", row.category)]
        found = figures(rows)
        table.add_row(category, str(found["n"]), *(_cell(found[name]) for name in _SHARES))
    return table


def _escalated(key: tuple[str, str], replayed: Rows) -> tuple[float | None, float | None]:
    """Share of outputs handed on as invalid, and share right when the best other model of the set answers those."""
    others = {k: rows for k, rows in replayed.items() if k[0] == key[0] and k != key}
    if not others:
        return None, None
    best = max(others.values(), key=lambda rows: sum(row.right for row in rows))
    by_question = {row.question: row.right for row in best}
    mine = replayed[key]
    handed_on = [row for row in mine if row.outcome == "invalid"]
    right = sum(row.right for row in mine) + sum(by_question.get(row.question, False) for row in handed_on)
    return len(handed_on) / len(mine), right / len(mine)


def _table(title: str, *heads: str) -> Table:
    table = Table(*heads, title=title, title_justify="left")
    for column in table.columns:
        if column.header not in ("set", "model", "category"):
            column.justify = "right"
    return table


def _cell(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
