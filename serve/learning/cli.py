"""`pointsman tables`: which routing tables decide, which did, and why; try, promote, roll back, learn."""

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Column, Table

from serve import yaml_file
from serve.config import Config, load, mistakes
from serve.errors import ConfigError
from serve.outcomes import span
from serve.routing_table import RoutingTable

if TYPE_CHECKING:
    from serve.learning.desk import Tables
    from serve.learning.propose import Proposal
    from serve.learning.store import Change, TableStore, Told

app = typer.Typer(no_args_is_help=True, help=__doc__)
out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)

USUAL_WORTH = 100_000.0
"""Micro-dollars that one more success may cost, where nobody has learned it."""
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The Pointsman configuration.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for whoever looks at it later.")]
Which = Annotated[
    str, typer.Argument(help="A version that is kept, or the path of a table: it is kept first.")
]
DEFAULT = Path("configs/policies/general.yaml")


@app.command("list")
def listed(
    config: ConfigOption = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What decides now, every table that is kept, and every change of what decides."""
    from serve.learning import runs

    with _opened(config) as (settings, store, tables):
        configured, base = _configured(settings), _base(settings)
        last, changes, kept = tables.last(), store.changes(base), store.versions(base)
        looks = runs.last(store.engine, base)
    if as_json:
        print(
            json.dumps(
                {
                    "configured": configured.version,
                    "current": last.current or configured.version,
                    "canary": last.canary,
                    "share": last.share,
                    "versions": [_described(v.table, v.at, v.who, v.why) for v in kept],
                    "changes": [asdict(one) for one in changes],
                    "runs": [asdict(one) for one in looks],
                },
                indent=2,
            )
        )
        return
    trial = f"; {last.canary} is on trial with {last.share:.0%} of the requests" if last.canary else ""
    out.print(f"{last.current or configured.version} decides{trial}.", markup=False)
    _show_changes(changes, configured.version)
    if looks:
        out.print(
            f"Last looked on schedule {_moment(looks[0].at)}: {looks[0].why or 'still at it'}.", markup=False
        )
    unused = [v.table.version for v in kept if v.table.version not in {c.current for c in changes}]
    if unused:
        out.print(f"Kept, never promoted: {', '.join(unused)}.", markup=False)


@app.command()
def show(version: Annotated[str, typer.Argument(help="A version.")], config: ConfigOption = DEFAULT) -> None:
    """One table: its rows, how they differ from the configured one, who made it, why, on what evidence."""
    with _opened(config) as (settings, store, _):
        configured = _configured(settings)
        found = None if version == configured.version else store.version(_base(settings), version)
    table = found.table if found else configured
    if found:
        out.print(f"{version}, kept {_moment(found.at)} by {found.who}: {found.why}", markup=False)
        if found.evidence is not None:
            out.print(json.dumps(found.evidence, indent=2), markup=False, highlight=False)
    shown = _plain("task", "tier", "threshold", "evidence", "configured")
    for name, row in table.tasks.items():
        before = configured.tasks[name]
        same = (row.tier, row.threshold) == (before.tier, before.threshold)
        told = "" if same else f"tier {before.tier}, threshold {_number(before.threshold)}"
        shown.add_row(name, str(row.tier), _number(row.threshold), f"{row.evidence:,}", told)
    out.print(shown)


@app.command()
def promote(
    which: Which,
    why: Why,
    canary: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=0.5, help="On trial first, with this share (0.1 is a tenth) of the requests."
        ),
    ] = None,
    config: ConfigOption = DEFAULT,
) -> None:
    """Put a table in force within seconds, for all requests or on trial."""
    with _opened(config) as (settings, store, tables):
        told = _told(why)
        version = _kept(which, settings, store, told)
        if canary is None:
            change = tables.promote(version, told)
        else:
            change = tables.attempt(version, canary, tables.last().worth or USUAL_WORTH, told)
    _say(change)


@app.command()
def rollback(why: Why, config: ConfigOption = DEFAULT) -> None:
    """End the trial; without one, put the table before the present one in force again."""
    with _opened(config) as (_, _store, tables):
        change = tables.roll_back(_told(why))
    _say(change)


@app.command()
def learn(
    config: ConfigOption = DEFAULT,
    since: Annotated[str, typer.Option(help="Learn from outcomes so far back: 24h, 7d, 4w.")] = "4w",
    kept: Annotated[
        float, typer.Option(min=0.5, max=1, help="Share of always-highest's successes that must be kept.")
    ] = 0.98,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what was found, and change nothing.")
    ] = False,
) -> None:
    """Look for a better table in logged outcomes; what is proven better goes on trial with `learning.canary_share`."""
    from serve.learning.propose import USUAL

    try:
        since_ms = int((time.time() - span.seconds(since)) * 1000)
    except ValueError:
        raise _fail(f"--since must be {span.WORDS}") from None
    with _opened(config) as (settings, _, tables):
        goal = replace(USUAL, kept=kept, surely=max(0.0, kept - (USUAL.kept - USUAL.surely)))
        found = tables.search(since_ms, goal)
        _explain(found)
        if found.table is None or dry_run:
            return
        told = _told(found.why, asdict(found) | {"table": found.table.version})
        change = tables.put_on_trial(found, settings.learning.canary_share, told)
    _say(change)


def _explain(found: "Proposal") -> None:
    out.print(f"{found.decisions:,} decisions with a known outcome: {found.why}.", markup=False)
    if (proof := found.proof) is None:
        return
    shown = _plain("table", "success", "USD per 1,000", "USD per 1,000 successes")
    for name, one in (
        ("current", proof.current),
        ("candidate", proof.candidate),
        ("always the highest tier", proof.highest),
    ):
        per = "-" if one.per_success is None else f"{one.per_success / 1e3:.4f}"
        shown.add_row(name, f"{one.success:.3f}", f"{one.cost / 1e3:.4f}", per)
    out.print(shown)


def _show_changes(changes: "list[Change]", configured: str) -> None:
    if not changes:
        out.print("Nothing was ever changed: the table of the configuration decides.")
        return
    shown = _plain("change", "when", "what", "in force", "on trial", "who", "why")
    for one in changes:
        trial = f"{one.canary} ({one.share:.0%})" if one.canary else ""
        row = (str(one.seq), _moment(one.at), one.what, one.current or configured, trial, one.who, one.why)
        shown.add_row(*row)
    Console().print(shown)


def _plain(*names: str) -> Table:
    table = Table(*(Column(name, overflow="fold") for name in names))
    table.box = None
    return table


def _kept(which: str, settings: Config, store: "TableStore", told: "Told") -> str:
    if not which.endswith((".yaml", ".yml")):
        return which
    path = Path(which)
    try:
        table = RoutingTable.model_validate(yaml_file.parse(yaml_file.read(path), path))
    except ValidationError as error:
        raise ConfigError(mistakes(path, error)) from None
    store.keep(_base(settings), table, told)
    return table.version


def _say(change: "Change") -> None:
    current = change.current or "the configured table"
    trial = f", {change.canary} on trial with {change.share:.0%}" if change.canary else ""
    err.print(f"Change {change.seq}: {current} decides{trial}. Routers follow within seconds.", markup=False)


def _told(why: str, evidence: object = None) -> "Told":
    from serve.learning.store import Told

    return Told(getpass.getuser(), int(time.time() * 1000), why, json.loads(json.dumps(evidence)))


def _described(table: RoutingTable, at: int, who: str, why: str) -> dict[str, object]:
    return {"version": table.version, "at": at, "who": who, "why": why}


def _configured(settings: Config) -> RoutingTable:
    if settings.policy.table is None:
        raise ConfigError(
            "This configuration has no routing table: set policy.table, and a rule with tier: table"
        )
    return settings.policy.table


def _base(settings: Config) -> str:
    from serve.learning.placed import base_of

    return base_of(_configured(settings))


@contextmanager
def _opened(path: Path) -> "Iterator[tuple[Config, TableStore, Tables]]":
    from sqlalchemy.exc import SQLAlchemyError  # slow to import, and other commands do not need it

    from serve.learning.desk import Tables
    from serve.learning.store import TableStore

    try:
        settings = load(path)
        configured = _configured(settings)
        store = TableStore(settings.state.resolve())
        try:
            yield settings, store, Tables(store, configured)
        finally:
            store.close()
    except (ConfigError, OSError) as error:
        raise _fail(str(error)) from None
    except SQLAlchemyError as error:
        raise _fail(f"The tables cannot be read: {type(error).__name__}") from None


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:g}"


def _fail(message: str) -> typer.Exit:
    err.print(message, style="red", markup=False)
    return typer.Exit(1)
