"""`pointsman models`: fetch, verify, list and round what lock.toml pins. It does not know how models are served."""

from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from models import lock
from models.bars import Bars
from models.errors import ModelError
from models.store import Store, cache_root

app = typer.Typer(help="Fetch, verify, list and round the models that lock.toml pins.", no_args_is_help=True)
console = Console(soft_wrap=True)

Names = Annotated[list[str] | None, typer.Argument(help="Names in lock.toml; all of them if none is given.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Take the names in this config file.")]
Model = Annotated[str, typer.Argument(help="A name in lock.toml, or a folder of safetensors.")]
Into = Annotated[Path, typer.Option("--into", help="The folder to make.", file_okay=False)]


class Named(BaseModel):
    model: str | None = None


class LaneNamed(Named):
    kind: str | None = None
    path: str | None = None


class Uses(BaseModel):
    """The part of a config file that names models; the rest is not judged here."""

    engines: dict[str, Named] | None = None
    scout: Named | None = None
    lanes: list[LaneNamed] | None = None

    def names(self) -> list[str]:
        encoders = [lane for lane in self.lanes or [] if lane.kind == "encoder" and not lane.path]
        users = [*(self.engines or {}).values(), self.scout or Named(), *encoders]
        return list(dict.fromkeys(user.model for user in users if user.model))


@app.command()
def fetch(names: Names = None, config: ConfigFile = None) -> None:
    """Fetch and convert models; what is ready already is left alone."""
    store = shipped()
    for name in names or (used_by(config) if config else store.lock.names):
        try:
            folder = ready(store, name)
        except ModelError as error:
            raise stop(str(error)) from error
        console.print(f"{name}: ready in {folder}", highlight=False)


def ready(store: Store, name: str) -> Path:
    """Bars are drawn only where there is something to do."""
    if store.state(name) == "ready":
        return store.path(name)
    with Bars(console) as bars:
        return store.ensure(name, bars)


@app.command()
def verify(names: Names = None) -> None:
    """Read every byte of the models that are here and compare sha256 sums."""
    store, damaged = shipped(), 0
    for name in names or store.lock.names:
        try:
            wrong = store.verify(name)
        except ModelError as error:
            wrong = [str(error)]
        damaged += bool(wrong)
        console.print(f"{name}: {'; '.join(wrong) if wrong else 'all sums are right'}", highlight=False)
    if damaged:
        raise stop("put it right with: pointsman models fetch")


@app.command("list")
def list_() -> None:
    """Show name, licence, size, state and place of every pinned model."""
    store = shipped()
    table = Table("name", "licence", "download", "state", "path")
    for artefact in store.lock.artefact:
        state, folder = store.state(artefact.name), store.folder(artefact)
        table.add_row(artefact.name, artefact.licence, decimal(artefact.size), state, str(folder))
    console.print(table)


@app.command("round")
def round_(model: Model, into: Into) -> None:
    """Make a copy in 8 bits for an engine without a GPU: half as fast again where there is AVX-512 VNNI or AMX."""
    from models.rounded import pays, rounded

    try:
        store = shipped()
        source = store.path(model) if model in store.lock.names else Path(model)
        if not pays():
            said = (
                "This processor has neither AVX-512 VNNI nor AMX: the copy will be slower here, not faster."
            )
            console.print(said, style="yellow", highlight=False)
        with console.status(f"rounding {model}"):
            folder = rounded(source, "int8", into.expanduser())
    except ModelError as error:
        raise stop(str(error)) from error
    console.print(f"{model}: ready in {folder}; name it as `model` of an engine", highlight=False)


def shipped() -> Store:
    return Store(lock.shipped(), cache_root())


def used_by(config: Path) -> list[str]:
    """A model that lock.toml does not name is the user's own: a folder, or one that its engine fetches."""
    try:
        uses = Uses.model_validate(yaml.safe_load(config.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise stop(f"{config} cannot be read as a config file: {error}") from error
    return [name for name in uses.names() if name in lock.shipped().names]


def stop(message: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False, highlight=False)
    return typer.Exit(1)
