"""Erasure of a key from the log: its secret goes, also from the database's own files."""

from typing import Any

from sqlalchemy import Engine, event

from serve import state
from serve.audit.chain import Chain
from serve.audit.pseudonyms import erase as drop
from serve.audit.records import Draft, Erased
from serve.audit.tables import TABLES


def erase(url: str | None, key: str) -> str | None:
    """The pseudonym that nobody can lead back to `key` any more; None when the log never had it.

    SQLite overwrites the secret at once. PostgreSQL keeps it on its pages until they are vacuumed. Copies of the
    database keep it in any case. Raises SQLAlchemyError, OSError, ConfigError.
    """
    engine = state.open_database(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _overwriting)
    try:
        state.create(engine, TABLES)
        pseudonym = _drop(engine, key)
        if engine.dialect.name == "sqlite":
            _empty_wal(engine)
        return pseudonym
    finally:
        engine.dispose()


def _drop(engine: Engine, key: str) -> str | None:
    with engine.begin() as connection:
        pseudonym = drop(connection, key)
        if pseudonym is not None:
            Chain().append(connection, [Draft.of(Erased(pseudonym=pseudonym))])
    return pseudonym


def _overwriting(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA secure_delete=ON")


def _empty_wal(engine: Engine) -> None:
    """The write-ahead log holds old pages until it is cut. Not in a transaction: it would wait for itself."""
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    finally:
        raw.close()
