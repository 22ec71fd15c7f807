"""`pointsman policy`: what a configuration allows, before anything is sent."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve import matrix as matrices
from serve import policy
from serve.config import Config, load
from serve.errors import ConfigError
from serve.signals.readings import Sensitivity

app = typer.Typer(no_args_is_help=True, help=__doc__)
err = Console(stderr=True, soft_wrap=True)

NO_FOLD = 10_000  # characters of a line that goes to a file or another program


@app.callback()
def about() -> None:
    """What a configuration allows, before anything is sent."""


@app.command()
def matrix(
    config: Annotated[Path, typer.Option("--config", "-c", help="The Pointsman configuration.")] = Path(
        "configs/cpu.yaml"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Which class of data may go to which lane, and who answers when the first cannot."""
    try:
        settings = load(config)
    except ConfigError as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(matrices.as_json(settings), indent=2))
        return
    out = Console()
    if not out.is_terminal:
        out = Console(width=NO_FOLD)
    for table in (_lanes(settings), _chains(settings), _reviews(settings)):
        if table.row_count:
            out.print(table)
            out.print()


def _table(*first: str) -> Table:
    table = Table(*first, *(level.label for level in Sensitivity), box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _lanes(config: Config) -> Table:
    table = _table("lane", "location", "")
    for lane in config.lanes:
        allowed = (lane.location in config.policy.permits(level) for level in Sensitivity)
        cells = (Text("may", "green") if may else Text("may not", "red") for may in allowed)
        table.add_row(lane.name, lane.location, policy.off_because(lane) or "", *cells)
    places = (", ".join(sorted(config.policy.permits(level))) or "nowhere" for level in Sensitivity)
    table.add_row("by policy.locations", "", "", *places, style="dim")
    return table


def _chains(config: Config) -> Table:
    table = _table("rule")
    off = {lane.name for lane in config.lanes if policy.off_because(lane)}
    for rule in config.policy.rules:
        chains = (policy.fallbacks(rule, level, config) for level in Sensitivity)
        table.add_row(rule.name, *(_chain(chain, off) for chain in chains))
    return table


def _chain(names: tuple[str, ...], off: set[str]) -> str:
    return " > ".join(f"{name} (off)" if name in off else name for name in names) or "nobody"


def _reviews(config: Config) -> Table:
    table = _table("review")
    for rule in config.policy.review:
        table.add_row(rule.name, *("held" if level >= rule.when.level else "-" for level in Sensitivity))
    return table
