"""Write the log to a file: one JSON record a line, or Parquet with one column per field."""

import os
import tempfile
from pathlib import Path
from typing import IO

import duckdb
from sqlalchemy import Connection

from serve.audit import rows

_PLACE = "STRUCT(lane VARCHAR, location VARCHAR)"
COLUMNS = {
    "chain": "VARCHAR",
    "seq": "BIGINT",
    "at": "TIMESTAMP",
    "kind": "VARCHAR",
    "decision": "VARCHAR",
    "hash": "VARCHAR",
    "key": "VARCHAR",
    "class": "VARCHAR",
    "rules": "VARCHAR[]",
    "lanes": f"{_PLACE}[]",
    "off_premises": "BOOLEAN",
    "reasons": "VARCHAR[]",
    "policy_version": "VARCHAR",
    "input_tokens": "BIGINT",
    "status": "VARCHAR",
    "cloud_egress": "BOOLEAN",
    "tried": "STRUCT(lane VARCHAR, location VARCHAR, outcome VARCHAR, ms BIGINT)[]",
    "answered": "STRUCT(lane VARCHAR, location VARCHAR, model VARCHAR, revision VARCHAR)",
    "fallbacks": "VARCHAR[]",
    "escalations": "VARCHAR[]",
    "tokens_in": "BIGINT",
    "tokens_out": "BIGINT",
    "cost_microusd": "BIGINT",
    "latency_ms": "BIGINT",
    "review": "VARCHAR",
    "version": "VARCHAR",
    "lost": "BIGINT",
    "of": "VARCHAR",
    "upto": "BIGINT",
    "last": "VARCHAR",
    "removed": "BIGINT",
    "pseudonym": "VARCHAR",
    "allowance": "VARCHAR",
    "code": "VARCHAR",
    "count": "BIGINT",
    "lane": "VARCHAR",
    "location": "VARCHAR",
    "rule": "VARCHAR",
    "tokens": "BIGINT",
}
"""Columns of the Parquet file: every field that a record may have."""


def jsonl(connection: Connection | None, since: str | None, out: Path) -> int:
    """Write the records to `out`, readable for its owner alone; how many. Raises SQLAlchemyError, OSError."""
    with _private(out) as file:
        return _lines(connection, since, file)


def parquet(connection: Connection | None, since: str | None, out: Path) -> int:
    """The same as Parquet. Raises SQLAlchemyError, OSError, duckdb.Error."""
    _private(out).close()
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".audit-") as folder:
        between = Path(folder) / "records.jsonl"
        with _private(between) as file:
            count = _lines(connection, since, file)
        with duckdb.connect() as duck:
            columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
            source = f"read_json($source, format = 'newline_delimited', columns = {{{columns}}})"
            copy = f"COPY (SELECT * FROM {source}) TO '{_quoted(out)}' (FORMAT parquet)"  # noqa: S608
            duck.execute(copy, {"source": str(between)})
    return count


def _lines(connection: Connection | None, since: str | None, file: IO[str]) -> int:
    count = 0
    for row in rows.rows(connection, since) if connection is not None else ():
        file.write(rows.exported(row) + "\n")
        count += 1
    return count


def _private(path: Path) -> IO[str]:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
