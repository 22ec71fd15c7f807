"""`pointsman report` and `pointsman analyze`: read, count, print. Changes nothing."""

import asyncio
import time
from pathlib import Path

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from serve.config import Config
from serve.errors import ConfigError
from serve.outcomes import report, span, told
from serve.outcomes.analyze import analysis
from serve.outcomes.analyze.told import page as analysed
from serve.outcomes.show import FORMATS, Format, Page, written


def show_report(config: Config, since: str, form: str, out: Path | None) -> None:
    """Print the report, or write it to `out`. Raises typer.Exit when it cannot be made."""
    chosen = _form(form)
    try:
        since_s = span.seconds(since)
    except ValueError:
        raise _fail(f"--since must be {span.WORDS}") from None
    try:
        found = report.open_and_read(config, since_s, time.time())
    except (ConfigError, OSError) as error:
        raise _fail(str(error)) from None
    except SQLAlchemyError as error:
        raise _fail(f"The outcomes cannot be read: {type(error).__name__}") from None
    _put(told.page(found), chosen, out)


def show_analysis(config: Config, log: Path, form: str, out: Path | None) -> None:
    """Print what `log` would have cost here, or write it to `out`. Raises typer.Exit when no line can be read."""
    chosen = _form(form)
    try:
        with log.open("rb") as lines:
            found = asyncio.run(analysis.run(lines, config))
    except OSError as error:
        raise _fail(f"{log}: {error.strerror}") from None
    except analysis.NothingReadable as error:
        raise _fail(f"{log}: {error}") from None
    _put(analysed(found), chosen, out)


def _form(form: str) -> Format:
    for known in FORMATS:
        if form == known:
            return known
    raise _fail(f"--format must be one of {', '.join(FORMATS)}, not {form!r}")


def _put(page: Page, form: Format, out: Path | None) -> None:
    console = Console()
    text = written(page, form, max(100, console.width))
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _fail(f"{out}: {error.strerror}") from None


def _fail(message: str) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False)
    return typer.Exit(1)
