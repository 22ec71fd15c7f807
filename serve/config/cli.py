"""`pointsman config`: what a configuration may say."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.callback()
def config() -> None:
    """What a configuration may say."""


@app.command()
def reference(
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it to this file; default: print it.")
    ] = None,
) -> None:
    """Every field with its type, bounds, default and meaning, as Markdown, made from the models."""
    from serve.config.reference import markdown  # needs all models; other commands do not

    if out is None:
        print(markdown(), end="")
        return
    try:
        out.write_text(markdown(), encoding="utf-8")
    except OSError as error:
        typer.echo(f"--out: {out}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
