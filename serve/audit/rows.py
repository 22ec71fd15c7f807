"""Rows of the log as they stand, from the database or from an exported file. Judges none of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Engine, Select, inspect, select

from serve import state
from serve.audit.chain import canonical
from serve.audit.tables import HEADS, RECORDS
from serve.errors import ConfigError

_AT_ONCE = 1_000
Record = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Row:
    """One record with its place, its hash, and `columns` that the database keeps beside it for searching."""

    chain: str
    seq: int
    body: str
    hash: str
    columns: dict[str, JsonValue]


@contextmanager
def reading(url: str | None) -> Iterator[Connection | None]:
    """A connection that sees one state of the log; None where there is no log yet. Raises what SQLAlchemy raises."""
    engine = state.open_database(url)
    try:
        with _snapshot(engine) as connection:
            yield connection if inspect(connection).has_table(RECORDS.name) else None
    finally:
        engine.dispose()


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    options: dict[str, Any] = dict(state.READ_ONLY)
    if engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


def rows(connection: Connection, since: str | None = None) -> Iterator[Row]:
    """Every record, chain by chain, in order; `since` leaves out older ones."""
    wanted = select(RECORDS).order_by(RECORDS.c.chain, RECORDS.c.seq)
    yield from _read(connection, wanted if since is None else wanted.where(RECORDS.c.at >= since))


def of_kind(connection: Connection, kind: str) -> Iterator[Row]:
    """The records of one kind, chain by chain."""
    wanted = select(RECORDS).where(RECORDS.c.kind == kind)
    yield from _read(connection, wanted.order_by(RECORDS.c.chain, RECORDS.c.seq))


def heads(connection: Connection) -> dict[str, tuple[int, str]]:
    """Number and hash of the last record of each chain, as its writer left them."""
    return {row.chain: (row.seq, row.hash) for row in connection.execute(select(HEADS))}


def _read(connection: Connection, wanted: Select[Any]) -> Iterator[Row]:
    found = connection.execution_options(yield_per=_AT_ONCE).execute(wanted)
    for row in found:
        columns = {"at": row.at, "kind": row.kind, "decision": row.decision}
        yield Row(row.chain, row.seq, row.body, row.hash, columns)


def exported(row: Row) -> str:
    """The row as one line of a JSONL export: the record with its hash."""
    return canonical({**record_of(row), "hash": row.hash})


def imported(path: Path) -> tuple[list[Row], bool]:
    """The rows of an exported file, and whether its last line was cut short. Raises ConfigError, OSError."""
    found: list[Row] = []
    lines = path.read_bytes().split(b"\n")
    torn = bool(lines[-1])
    for number, line in enumerate(lines[:-1], 1):
        try:
            record = json.loads(line)
            hash_ = record.pop("hash")
            found.append(Row(record["chain"], record["seq"], canonical(record), hash_, {}))
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ConfigError(f"{path}: line {number} is no record of the audit log") from None
    return sorted(found, key=lambda row: (row.chain, row.seq)), torn


def record_of(row: Row) -> Record:
    """The record itself. Raises ValueError when it is not even JSON."""
    record = json.loads(row.body)
    if not isinstance(record, dict):
        raise ValueError("not a record")
    return record
