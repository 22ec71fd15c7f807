"""Tables as a terminal, Markdown, HTML or JSON shows them.

Knows titles and rows. Does not know what they say.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Literal

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

Format = Literal["table", "markdown", "html", "json"]
FORMATS: tuple[Format, ...] = ("table", "markdown", "html", "json")
Rows = Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Section:
    """One table. The first column is left-aligned text, the others are figures; `note` explains below it."""

    title: str
    columns: tuple[str, ...]
    rows: Rows
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Everything there is to show, and the same as a document."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    document: JsonValue


def written(page: Page, form: Format, width: int = 120) -> str:
    """The page as text in this form."""
    match form:
        case "json":
            return json.dumps(page.document, indent=2) + "\n"
        case "markdown":
            return _markdown(page)
        case "html":
            return _html(page)
        case _:
            return _terminal(page, width)


def _terminal(page: Page, width: int) -> str:
    text = StringIO()
    console = Console(file=text, width=width, highlight=False, markup=False, emoji=False)
    console.print(page.title)
    console.print(page.lead)
    for section in page.sections:
        console.print()
        table = Table(box=None, title=section.title, title_justify="left", pad_edge=False)
        for place, column in enumerate(section.columns):
            table.add_column(column, justify="right" if place else "left", overflow="fold")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)
        if section.note:
            console.print(section.note)
    return text.getvalue()


def _markdown(page: Page) -> str:
    lines = [f"# {page.title}", "", page.lead]
    for section in page.sections:
        lines += ["", f"## {section.title}", ""]
        lines += [_line(section.columns), "|---" + "|---:" * (len(section.columns) - 1) + "|"]
        lines += [_line(row) for row in section.rows]
        lines += ["", section.note] if section.note else []
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(cell: str) -> str:
    """Names of keys are anybody's words: none may start a column, a tag or a line."""
    plain = " ".join(cell.split())
    return html.escape(plain.replace("\\", "\\\\").replace("|", "\\|"), quote=False)


_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.wide{overflow-x:auto}table{border-collapse:collapse;min-width:60%}
th,td{padding:.25rem .75rem;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left;padding-left:0;white-space:normal}
th{font-weight:600;border-bottom:1px solid currentColor}
tr:nth-child(even) td{background:rgb(128 128 128/.1)}
p.note{margin:.5rem 0;opacity:.75;font-size:.9rem}
"""


def _html(page: Page) -> str:
    title = html.escape(page.title)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1><p>{html.escape(page.lead)}</p>",
    ]
    for section in page.sections:
        parts.append(f'<h2>{html.escape(section.title)}</h2><div class="wide"><table><thead>')
        parts.append(_row(section.columns, "th") + "</thead><tbody>")
        parts += [_row(row, "td") for row in section.rows]
        parts.append("</tbody></table></div>")
        parts += [f'<p class="note">{html.escape(section.note)}</p>'] if section.note else []
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _row(cells: tuple[str, ...], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
