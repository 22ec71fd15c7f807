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
    table = _table(
        "Tool calls", "set", "model", "n", *_HEADS, "escalated", "right then", "doubted too", "right then"
    )
    chains = {
        key: (*_escalated(key, replayed, doubts=False), *_escalated(key, replayed, doubts=True))
        for key in replayed
    }
    for one in results:
        shares = [_cell(one[name]) for name in _SHARES]
        cells = [_cell(x) for x in chains[one["set"], one["model"]]]
        table.add_row(one["set"], one["model"], str(one["n"]), *shares, *cells)
    console.print(table)
    console.print(together(replayed))
    console.print(_doubted([row for rows in replayed.values() for row in rows]))
    botched = [row for rows in replayed.values() for row in rows if row.fault == "format"]
    held = [row for row in botched if row.holds_call]
    right, silent = sum(row.right for row in held), len(botched) - len(held)
    if held:
        console.print(
            f"format or decoder errors: {len(botched)}; {silent} of them hold no call of an offered tool; "
            f"{right} of those that hold one are mended; {sum(r.right for r in botched) / len(botched):.3f} of all"
        )


def _doubted(rows: "Sequence[Replayed]") -> str:
    """How often calls that fit their schemas are doubted, by whether they are right."""
    fit = [row for row in rows if row.outcome != "invalid"]
    parts = [
        ([row.doubted for row in fit if row.right is right], word)
        for right, word in ((True, "right"), (False, "wrong"))
    ]
    shares = [f"{sum(some)} of {len(some)} {word} ones" for some, word in parts if some]
    return f"doubted of calls that fit their schemas: {', '.join(shares)}"


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


def _escalated(key: tuple[str, str], replayed: Rows, *, doubts: bool) -> tuple[float | None, float | None]:
    """Share of outputs handed on, and share right when the best other model of the set answers those.

    Handed on is what was refused; with `doubts`, what is doubted as well, unless the other's answer was refused: then
    the doubted one is given after all.
    """
    others = {k: rows for k, rows in replayed.items() if k[0] == key[0] and k != key}
    if not others:
        return None, None
    best = max(others.values(), key=lambda rows: sum(row.right for row in rows))
    others_say = {row.question: row for row in best}
    ended = [_ended(row, others_say.get(row.question), doubts=doubts) for row in replayed[key]]
    return sum(handed for handed, _ in ended) / len(ended), sum(right for _, right in ended) / len(ended)


def _ended(row: "Replayed", other: "Replayed | None", *, doubts: bool) -> tuple[bool, bool]:
    """Whether an output is handed on, and whether the client gets the gold calls in the end."""
    if row.outcome != "invalid" and not (doubts and row.doubted):
        return False, row.right
    usable = other is not None and other.outcome != "invalid"
    return True, other.right if other is not None and (usable or row.outcome == "invalid") else row.right


def _table(title: str, *heads: str) -> Table:
    table = Table(*heads, title=title, title_justify="left")
    for column in table.columns:
        if column.header not in ("set", "model", "category"):
            column.justify = "right"
    return table


def _cell(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
