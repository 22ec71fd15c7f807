"""The tables of outcomes in a database. Every method blocks, and raises SQLAlchemyError."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serve import state
from serve.outcomes.row import Entry, Repeated, Tracked
from serve.outcomes.tables import DECISIONS, FEEDBACK, STEPS, TABLES

DAY_MS = 86_400_000


class Store:
    """One database. Opening it makes the tables. Raises ConfigError, OSError, SQLAlchemyError."""

    def __init__(self, url: str | None) -> None:
        # What a power failure undoes is the last moments of a statistic.
        self._engine = state.open_database(url, durable=False)
        self._insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        try:
            state.create(self._engine, TABLES)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def write(self, entries: Sequence[Entry]) -> None:
        """All of them in one transaction. A decision that is there already stays as it is: none counts twice."""
        rows = [asdict(entry.row) for entry in entries if isinstance(entry, Tracked)]
        steps = [
            asdict(step) | {"decision_id": entry.row.decision_id, "at": entry.row.at}
            for entry in entries
            if isinstance(entry, Tracked)
            for step in entry.steps
        ]
        repeated = [entry.decision_id for entry in entries if isinstance(entry, Repeated)]
        with self._engine.begin() as connection:
            if rows:
                connection.execute(self._insert(DECISIONS).on_conflict_do_nothing(), rows)
            if steps:
                connection.execute(self._insert(STEPS).on_conflict_do_nothing(), steps)
            if repeated:
                mine = DECISIONS.c.decision_id.in_(repeated)
                connection.execute(update(DECISIONS).where(mine).values(retried=True))

    def prune(self, now: int, days: int) -> None:
        """Forget everything of decisions older than `days`. `now`: Unix milliseconds."""
        limit = now - days * DAY_MS
        old = select(DECISIONS.c.decision_id).where(DECISIONS.c.at < limit)
        with self._engine.begin() as connection:
            connection.execute(delete(FEEDBACK).where(FEEDBACK.c.decision_id.in_(old)))
            connection.execute(delete(STEPS).where(STEPS.c.at < limit))
            connection.execute(delete(DECISIONS).where(DECISIONS.c.at < limit))
