"""`pointsman audit`: verify, prove, export, retain and erase. Results go to standard output."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from serve.audit.records import Erased, stamp
from serve.config import Config, load
from serve.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from serve.audit.prove import Proof
    from serve.audit.verify import Report

app = typer.Typer(no_args_is_help=True, help=__doc__)
out, err = Console(soft_wrap=True, highlight=False), Console(stderr=True, soft_wrap=True)

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Take state.url of this configuration; default: your own database."),
]
SinceOption = Annotated[str, typer.Option(help="7d, 12h, or a time as 2026-11-21T10:00:00Z.")]
AgainstOption = Annotated[
    Path | None, typer.Option(help="An earlier `prove --json`: its heads must still be in the log.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command()
def verify(
    file: Annotated[Path | None, typer.Option(help="A JSONL export instead of the database.")] = None,
    against: AgainstOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Recompute every hash chain; exit 1 and name the first bad record of each when one does not hold."""
    from serve.audit import rows
    from serve.audit import verify as verifying

    with _plain_words():
        if file is not None:
            report = verifying.lines(*rows.imported(file))
        else:
            with _log(config) as connection:
                report = verifying.log(connection, _known(against))
    if as_json:
        print(json.dumps(_document(report), indent=2))
    else:
        _tell(report)
    raise typer.Exit(0 if report.is_good else 1)


@app.command()
def prove(
    since: SinceOption,
    data_class: Annotated[
        Literal["public", "internal", "confidential"], typer.Option("--class", help="The class of the data.")
    ] = "confidential",
    against: AgainstOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what became of one class of data; exit 1 when any of it left or the log does not hold."""
    from serve.audit.prove import as_json as document
    from serve.audit.prove import prove as proved

    with _plain_words(), _log(config) as connection:
        proof = proved(connection, _moment(since), data_class, _known(against))
    if as_json:
        print(json.dumps(document(proof), indent=2))
    else:
        _show(proof)
    raise typer.Exit(0 if proof.holds else 1)


@app.command()
def export(
    file: Annotated[Path, typer.Option("--out", help="The file to write.")],
    form: Annotated[Literal["jsonl", "parquet"], typer.Option("--format")] = "jsonl",
    since: Annotated[str | None, typer.Option(help="As of prove; default: everything.")] = None,
    config: ConfigOption = None,
) -> None:
    """Write the records to a file."""
    from serve.audit import export as exporting

    with _plain_words(), _log(config) as connection:
        write = exporting.jsonl if form == "jsonl" else exporting.parquet
        count = write(connection, _moment(since) if since else None, file)
    err.print(f"{count} records written to {file}", markup=False)


@app.command()
def retain(
    days: Annotated[int | None, typer.Option(min=1, help="Default: audit.retention_days.")] = None,
    config: ConfigOption = None,
) -> None:
    """Remove records that are older; a checkpoint stays, so that the rest can still be verified."""
    from serve.audit.store import Store

    settings = _settings(config)
    removed = 0
    with _plain_words():
        store = Store(settings.state.resolve() if settings else None)
        try:
            while step := store.retain(days or _days(settings)):
                removed += step
        finally:
            store.close()
    err.print(f"{removed} records removed")


@app.command()
def erase(
    key: Annotated[str, typer.Option(help="The id of a key, as `pointsman keys list` shows it.")],
    config: ConfigOption = None,
) -> None:
    """Make it impossible to tell which records belong to a key. The records stay; a key in use gets a new name."""
    from serve.audit.erasure import erase as erased

    settings = _settings(config)
    with _plain_words():
        pseudonym = erased(settings.state.resolve() if settings else None, key)
    if pseudonym is None:
        raise _fail(
            f"The log has no records of a key {key!r}: see `pointsman keys list`, it is the id that counts"
        )
    err.print(f"Erased: nobody can lead {Erased(pseudonym=pseudonym).pseudonym} back to {key} any more.")


def _settings(config: Path | None) -> Config | None:
    with _plain_words():
        return load(config) if config else None


def _days(settings: Config | None) -> int:
    from serve.audit.config import AuditConfig

    return (settings.audit if settings else AuditConfig()).retention_days


@contextmanager
def _log(config: Path | None) -> "Iterator[Connection | None]":
    from serve.audit import rows

    settings = _settings(config)
    with rows.reading(settings.state.resolve() if settings else None) as connection:
        yield connection


def _moment(since: str) -> str:
    now = datetime.now(UTC)
    if match := re.fullmatch(r"(\d{1,6})([mhdw])", since):
        return stamp(now - timedelta(**{_UNITS[match[2]]: int(match[1])}))
    try:
        at = datetime.fromisoformat(since)
    except ValueError:
        raise ConfigError(f"--since {since}: write 7d, 12h, or a time as 2026-11-21T10:00:00Z") from None
    return stamp(at if at.tzinfo else at.replace(tzinfo=UTC))


def _known(against: Path | None) -> dict[str, tuple[int, str]] | None:
    if against is None:
        return None
    try:
        kept = json.loads(against.read_text(encoding="utf-8"))["heads"]
        return {str(chain): (int(head["seq"]), str(head["hash"])) for chain, head in kept.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{against}: is no output of `pointsman audit prove --json`") from None


def _document(report: "Report") -> dict[str, object]:
    return {
        "verified": report.is_good,
        "records": report.records,
        "removed": report.removed,
        "unfinished": report.unfinished,
        "torn": report.torn,
        "faults": [{"chain": f.chain, "seq": f.seq, "what": f.what} for f in report.faults],
        "heads": {chain: {"seq": seq, "hash": hash_} for chain, (seq, hash_) in report.heads.items()},
    }


def _tell(report: "Report") -> None:
    for fault in report.faults:
        out.print(f"BAD  chain {fault.chain}, record {fault.seq}: {fault.what}", markup=False)
    chains = f"{len(report.heads)} chain{'s' * (len(report.heads) != 1)}"
    out.print(f"{'Whole' if report.is_good else 'Not whole'}: {report.records} records in {chains}")
    if report.removed:
        out.print(f"{report.removed} older records were removed by retention; checkpoints stand for them")
    if report.unfinished:
        out.print(f"{report.unfinished} decisions have no outcome: still running, or cut short by a crash")
    if report.torn:
        out.print("The last line is cut short and was left out")


def _show(proof: "Proof") -> None:
    out.print(f"{proof.data_class} since {proof.since}: {proof.requests} requests", markup=False)
    for (lane, location), count in sorted(proof.answered.items()):
        out.print(f"  answered by {lane} ({location}): {count}", markup=False)
    for status, count in sorted(proof.statuses.items()):
        out.print(f"  ended {status}: {count}", markup=False)
    out.print(f"  left the premises: {proof.left}")
    if proof.unknown:
        out.print(f"  may have left: {proof.unknown} (no outcome was written)")
    if proof.unfinished:
        out.print(f"  without an outcome, but with lanes on the premises alone: {proof.unfinished}")
    for status, count in sorted(proof.refused.items()):
        out.print(f"  refused before anything was sent, {status}: {count}", markup=False)
    if proof.lost:
        out.print(f"  records that were never written: {proof.lost} (what has no record may not leave)")
    _tell(proof.chains)
    for chain, (seq, hash_) in sorted(proof.chains.heads.items()):
        out.print(f"  head {chain} {seq} {hash_}", markup=False)
    out.print("It holds." if proof.holds else "IT DOES NOT HOLD.")


@contextmanager
def _plain_words() -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    from serve.audit.tables import words

    try:
        yield
    except ConfigError as error:
        raise _fail(str(error)) from None
    except SQLAlchemyError as error:
        raise _fail(f"The audit log cannot be used: {words(error)}") from None
    except OSError as error:
        raise _fail(f"{error.filename or 'The audit log'}: {words(error)}") from None


def _fail(message: str) -> typer.Exit:
    err.print(message, style="red", markup=False)
    return typer.Exit(2)
