"""Where the table of keys stands: a SQLite file of its own, or a PostgreSQL server that several nodes share.

Knows how to open it, to lock it for a change and to name it in an error. Knows nothing of keys.
"""

from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from serve import state
from serve.errors import ConfigError
from serve.keys.config import SQLITE

_BUSY_S = 5
_CHANGING = 0x706F6B65  # PostgreSQL's lock for "keys are being changed"; any number that nobody else uses


class Place(Protocol):
    """One database. `name` tells a person which, without a secret."""

    name: str
    engine: Engine

    def exists(self, table: str) -> bool:
        """Whether there is anything to read. Raises OSError, SQLAlchemyError."""
        ...

    def make(self) -> None:
        """Make room for a database before the first write. Raises OSError."""
        ...

    def lock(self, connection: Connection) -> None:
        """Let nobody else change keys until the transaction ends. Raises SQLAlchemyError."""
        ...

    def words(self, error: SQLAlchemyError) -> str:
        """What went wrong, as it may stand in a log."""
        ...


class File:
    """A SQLite file; it is made, readable for its owner alone, with the first key."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        # No pool: a forgotten connection must not hold a lock, and keys are read every two seconds, not more.
        self.engine = create_engine(f"{SQLITE}{path}", poolclass=NullPool, connect_args={"timeout": _BUSY_S})

    def exists(self, table: str) -> bool:
        """Whether the first key was ever made there. Makes no file."""
        return self.path.exists() and inspect(self.engine).has_table(table)

    def make(self) -> None:
        """Make the file and its folder."""
        state.make_private(self.path)

    def lock(self, connection: Connection) -> None:
        """Take the file's one write lock now, not with the first change."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def words(self, error: SQLAlchemyError) -> str:
        """SQLite's own words: they name no value."""
        return str(error.__cause__ or type(error).__name__)


class Server:
    """A PostgreSQL server. A server that does not answer within seconds is one that cannot be read."""

    def __init__(self, url: str) -> None:
        """Opens no connection. Raises ConfigError."""
        try:
            parsed = make_url(url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError):
            # Not the parser's words: they quote the URL, and with it a password.
            raise ConfigError("state.url is no database URL: postgresql://host/database") from None
        self.name = f"PostgreSQL {parsed.host or 'on this machine'}, database {parsed.database}"
        limits = f"-c statement_timeout={_BUSY_S * 1000} -c lock_timeout={_BUSY_S * 1000}"
        self.engine = create_engine(
            parsed, poolclass=NullPool, connect_args={"connect_timeout": _BUSY_S, "options": limits}
        )

    def exists(self, table: str) -> bool:
        """Whether the first key was ever made there."""
        return inspect(self.engine).has_table(table)

    def make(self) -> None:
        """The server is there, or nothing can be done about it here."""

    def lock(self, connection: Connection) -> None:
        """Wait for others that make or change keys."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHANGING})

    def words(self, error: SQLAlchemyError) -> str:
        """The kind of error alone: a server's words repeat user names, and values of a statement."""
        return type(error.__cause__ or error).__name__
