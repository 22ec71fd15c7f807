"""The SQL database of everything that must outlive a process: SQLite by default, PostgreSQL by URL.

Knows how to open one. What is kept there is known by the tables' own modules (ledger, audit, reviews).
"""

import errno
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from serve.errors import ConfigError

READ_ONLY = {
    "reading": True
}  # execution options of a connection that only reads: it never waits for a writer
_BUSY_S = 5
_FORGET_MS = 500
_SILENT = {  # libpq's: a server that is gone without a word is noticed within seconds; else it takes minutes or hours
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,  # milliseconds until what was sent must have arrived
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 4,
}
_MAKING = threading.Lock()  # nobody opens a file with SQLite while it is being made here
_CREATING = 0x706F696E  # PostgreSQL's lock for "tables are being made"; any number that nobody else uses


def default_url() -> str:
    """`pointsman/state.db` in the XDG state directory."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return f"sqlite:///{Path(state).expanduser() / 'pointsman' / 'state.db'}"


def open_database(url: str | None = None, *, durable: bool = True) -> Engine:
    """The database at `url` (`sqlite:////absolute/path` or `postgresql://…`), None for the default one.

    A SQLite file is made readable for its owner alone. `durable`: a commit is on the disk when it returns; False
    leaves the last moments before a power failure open, never the file's consistency. Transactions of SQLite take
    the write lock at their start, so that what they read is still true when they write. A server of PostgreSQL that
    is gone without a word fails within seconds, unless the URL's own query says otherwise. Raises ConfigError, OSError.
    """
    try:
        parsed = make_url(url or default_url())
    except ArgumentError:
        raise ConfigError(
            "state.url is no database URL: sqlite:////absolute/path or postgresql://…"
        ) from None
    if parsed.get_backend_name() == "postgresql":
        limits = {name: value for name, value in _SILENT.items() if name not in parsed.query}
        server = parsed.set(drivername="postgresql+psycopg")
        return create_engine(server, pool_pre_ping=True, connect_args=limits)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigError("state.url: only files of SQLite and servers of PostgreSQL are known")
    make_private(Path(parsed.database))
    engine = create_engine(parsed, connect_args={"timeout": _BUSY_S, "isolation_level": None})
    event.listen(engine, "connect", _tuned(durable))
    event.listen(engine, "begin", _begin)
    return engine


def create(engine: Engine, tables: MetaData) -> None:
    """Make the tables that are missing; several processes may do so at once. Raises SQLAlchemyError."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATING})
        tables.create_all(connection)


def forget(engine: Engine) -> bool:
    """Empty SQLite's write-ahead log, which still has what was deleted; False: it was in use, so ask again later.

    True for PostgreSQL, whose log is not ours. Raises SQLAlchemyError where no connection can be had.
    """
    if engine.dialect.name != "sqlite":
        return True
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        # While it waits for those who read, nobody else can write: the ledger neither.
        cursor.execute(f"PRAGMA busy_timeout={_FORGET_MS}")
        try:
            return not cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error:
            return False
        finally:
            cursor.execute(f"PRAGMA busy_timeout={_BUSY_S * 1000}")
    finally:
        raw.close()


def make_private(path: Path) -> None:
    """Make the file, for its owner alone, where it is missing. Raises OSError. One that is there is never opened.

    Closing it would take away the locks that SQLite holds on it for this process: another one then takes itself for
    the last, deletes the write-ahead log, and the file is corrupt (sqlite.org/howtocorrupt.html, section 2.2).
    """
    path = path.resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _MAKING:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            fault = (
                errno.EISDIR if path.is_dir() else 0 if os.access(path, os.R_OK | os.W_OK) else errno.EACCES
            )
            if fault:
                raise OSError(fault, os.strerror(fault), str(path)) from None


def _tuned(durable: bool) -> Any:
    def connected(connection: Any, _record: object) -> None:
        _write_ahead(connection)
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys=ON")

    return connected


def _write_ahead(connection: Any) -> None:
    # SQLite itself does not wait here while another connection opens the file or mends it after a crash.
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
