"""Erasure of a key from the log: its secret goes, also from the database's own files."""

from sqlalchemy import Engine, text

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
    try:
        state.create(engine, TABLES)
        pseudonym = _drop(engine, key)
        if engine.dialect.name == "sqlite":
            _empty_wal(engine)
        return pseudonym
    finally:
        engine.dispose()


def _drop(engine: Engine, key: str) -> str | None:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.connection.cursor().execute("PRAGMA secure_delete=ON")
        with connection.begin():
            pseudonym = drop(connection, key)
            if pseudonym is not None:
                Chain().append(connection, [Draft.of(Erased(pseudonym=pseudonym))])
    return pseudonym


def _empty_wal(engine: Engine) -> None:
    """The write-ahead log holds old pages until it is cut."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
