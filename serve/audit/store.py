"""The log in its database, as one writer sees it: opened when first needed, opened anew after a failure."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from serve import state
from serve.audit import retention
from serve.audit.chain import Chain
from serve.audit.records import Draft, stamp
from serve.audit.tables import TABLES

MOST_REMOVED = 5_000
"""Records that one transaction of retention removes at most: the writer waits behind it."""


class Store:
    """Appends to one chain at a time. Every call may raise SQLAlchemyError, OSError or ConfigError."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._chain = Chain()

    def append(self, drafts: Sequence[Draft]) -> None:
        """Write all of them, or none. They are on the disk when this returns."""
        try:
            with self._opened().begin() as connection:
                self._chain.append(connection, drafts)
        except BaseException:
            self._start_over()
            raise

    def retain(self, days: int) -> int:
        """Remove some of the records older than `days`; how many. Call again until it is 0."""
        before = stamp(datetime.now(UTC) - timedelta(days=days))
        try:
            with self._opened().begin() as connection:
                return retention.step(connection, self._chain, before, MOST_REMOVED)
        except BaseException:
            self._start_over()
            raise

    def close(self) -> None:
        """Let go of every connection."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(SQLAlchemyError):
                engine.dispose()

    def _opened(self) -> Engine:
        if self._engine is None:
            engine = state.open_database(self._url)
            state.create(engine, TABLES)
            self._engine = engine
        return self._engine

    def _start_over(self) -> None:
        self.close()
        self._chain = Chain()
