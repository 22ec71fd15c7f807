"""`pointsman policy`: what a configuration allows, before anything is sent."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from serve import matrix as matrices
from serve import policy
from serve.config import Config, load
from serve.errors import ConfigError
from serve.exclusions import off_because
from serve.ledger import money
from serve.signals.readings import Sensitivity

if TYPE_CHECKING:  # what judges prompts is slow to import, and `matrix` does not need it
    from serve.policies import replay

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
    settings = _load(config)
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
        table.add_row(lane.name, lane.location, off_because(lane) or "", *cells)
    places = (", ".join(sorted(config.policy.permits(level))) or "nowhere" for level in Sensitivity)
    table.add_row("by policy.locations", "", "", *places, style="dim")
    return table


def _chains(config: Config) -> Table:
    table = _table("rule")
    off = {lane.name for lane in config.lanes if off_because(lane)}
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


ConfigArgument = Annotated[Path, typer.Argument(help="The Pointsman configuration.")]
DEFAULT = Path("configs/cpu.yaml")


@app.command()
def check(config: ConfigArgument = DEFAULT) -> None:
    """Prove that no data reaches a lane where it may not go; exit status 1 and the chain where it does."""
    from serve.policies import check as checks

    refused = ""
    try:
        settings = load(config)
    except ConfigError as error:
        refused, found = str(error), checks.unproved(config)
        if found is None:
            raise _fail(refused) from None
        settings = found
    proof = checks.check(settings)
    for breach in proof.breaches:
        err.print(f"forbidden: {breach.text}", style="red", markup=False)
    if refused or proof.breaches:
        raise _fail(refused or f"{config}: {len(proof.breaches)} way(s) to where data may not go")
    for doubt in proof.doubts:
        err.print(f"note: {doubt}", style="yellow", markup=False)
    _say(
        f"{config}: nothing forbidden is reachable. {proof.decisions:,} combinations of class, rule, row, wish and "
        f"state of {len(settings.lanes)} lanes were decided."
    )


@app.command()
def explain(config: ConfigArgument = DEFAULT) -> None:
    """The whole policy in plain sentences."""
    from serve.policies import words

    _say(words.explain(_load(config)))


@app.command("test")
def run_cases(
    file: Annotated[Path, typer.Argument(help="Golden cases, such as configs/policies/general.cases.yaml.")],
    config: Annotated[
        Path | None, typer.Argument(help="The configuration; default: the one that the file names.")
    ] = None,
) -> None:
    """Decide golden cases and show what differs from what they expect; exit status 1 where something does."""
    from serve.policies import golden

    try:
        cases = golden.read(file)
        results = golden.run(cases, golden.settings_of(cases, file, config))
    except ConfigError as error:
        raise _fail(str(error)) from None
    failed = [result for result in results if result.differences]
    for result in failed:
        _say(f"FAILED {result.case.name}")
        for name, expected, found in result.differences:
            _say(f"  {name}\n    - {expected}\n    + {found}")
        _say(f"  because: {result.said}")
    _say(f"{len(results) - len(failed)} of {len(results)} cases are as expected.")
    if failed:
        raise typer.Exit(1)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The configuration in force.")],
    new: Annotated[Path, typer.Argument(help="The one that is to come.")],
    log: Annotated[
        Path | None,
        typer.Option("--log", help="Past decisions: the decision log, or an audit export (JSONL)."),
    ] = None,
) -> None:
    """Which decisions would change, and what that would cost; without a log over made-up situations."""
    from serve.policies import replay

    before, after = _load(old), _load(new)
    if log is None:
        found, total = replay.imagined(before, after)
        _say(f"{found.seen:,} of {total:,} situations on both sides of every condition.")
    else:
        try:
            past, others = replay.read(log)
        except ConfigError as error:
            raise _fail(str(error)) from None
        found = replay.compare(past, before, after)
        _say(f"{found.seen:,} decisions ({others:,} other lines), all lanes taken as ready.")
    _changes(found)
    if log is not None:
        told = found.seen - found.unknown - found.pinned
        _say(
            f"Likely cost of the {told:,} that can be told: ${money.usd(found.old_cost)} -> "
            f"${money.usd(found.new_cost)} ({_signed(found.new_cost - found.old_cost)})."
        )
        if found.unknown:
            _say(f"{found.unknown:,} cannot be told: the log does not hold what a rule asks for.")
        if found.pinned:
            _say(f"{found.pinned:,} were asked for by their clients and are left out.")


def _changes(found: "replay.Difference") -> None:
    moved = sum(found.moved.values())
    _say(f"{found.same:,} stay where they are, {moved:,} change:" if moved else "No first lane changes.")
    for (level, before, after), count in found.moved.most_common():
        _say(f"  {count:>6,}  {level}: {before} -> {after}   e.g. {found.examples[level, before, after]}")


def _signed(amount: int) -> str:
    return f"{'+' if amount >= 0 else '-'}${money.usd(abs(amount))}"


def _load(path: Path) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        raise _fail(str(error)) from None


def _fail(message: str) -> typer.Exit:
    err.print(message, style="red", markup=False)
    return typer.Exit(1)


def _say(text: str) -> None:
    Console(soft_wrap=True).print(text, markup=False, highlight=False)
