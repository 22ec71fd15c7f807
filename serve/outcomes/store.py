"""The tables of outcomes in a database. Every method blocks, and raises SQLAlchemyError."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Engine, delete, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serve import state
from serve.outcomes.row import Chosen, Entry, Repeated, Sampled, Tracked
from serve.outcomes.said import Said, Taken
from serve.outcomes.tables import CHOICES, DECISIONS, FEEDBACK, SAMPLED, SCOUT, STEPS, TABLES
from serve.sweeps.tables import RESULTS

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

    @property
    def engine(self) -> Engine:
        """For who only reads."""
        return self._engine

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
        scout = [
            {"decision_id": entry.row.decision_id, "at": entry.row.at, "ms": entry.scout_ms}
            for entry in entries
            if isinstance(entry, Tracked) and entry.scout_ms is not None
        ]
        repeated = [entry.decision_id for entry in entries if isinstance(entry, Repeated)]
        choices = [asdict(entry) for entry in entries if isinstance(entry, Chosen)]
        sampled = [asdict(entry) for entry in entries if isinstance(entry, Sampled)]
        with self._engine.begin() as connection:
            if rows:
                connection.execute(self._insert(DECISIONS).on_conflict_do_nothing(), rows)
            if steps:
                connection.execute(self._insert(STEPS).on_conflict_do_nothing(), steps)
            if scout:
                connection.execute(self._insert(SCOUT).on_conflict_do_nothing(), scout)
            if repeated:
                mine = DECISIONS.c.decision_id.in_(repeated)
                connection.execute(update(DECISIONS).where(mine).values(retried=True))
            if choices:
                connection.execute(self._insert(CHOICES).on_conflict_do_nothing(), choices)
            if sampled:
                connection.execute(self._insert(SAMPLED).on_conflict_do_nothing(), sampled)

    def say(self, said: Said) -> Taken:
        """Keep what is said of one decision: the last word counts, but none replaces a reviewer's but a reviewer's."""
        wanted = select(DECISIONS.c.key).where(DECISIONS.c.decision_id == said.decision_id)
        before = select(FEEDBACK.c.reviewer).where(FEEDBACK.c.decision_id == said.decision_id)
        with self._engine.begin() as connection:
            owner = connection.execute(wanted.with_for_update()).scalar_one_or_none()
            if owner is None or not (said.reviewer or owner == said.key):
                return Taken.UNKNOWN
            by_reviewer = connection.execute(before).scalar_one_or_none()
            if by_reviewer and not said.reviewer:
                return Taken.SETTLED
            values = asdict(said)
            put = self._insert(FEEDBACK).on_conflict_do_update(
                index_elements=[FEEDBACK.c.decision_id], set_=values
            )
            connection.execute(put, values)
        return Taken.NEW if by_reviewer is None else Taken.REPLACED

    def say_first(self, said: Said) -> bool:
        """Keep what a model says of a decision, unless somebody has spoken: it replaces nobody. False: not kept."""
        known = select(DECISIONS.c.key).where(DECISIONS.c.decision_id == said.decision_id)
        with self._engine.begin() as connection:
            if connection.execute(known).first() is None:
                return False
            put = self._insert(FEEDBACK).on_conflict_do_nothing()
            return connection.execute(put, asdict(said)).rowcount == 1

    def prune(self, now: int, days: int) -> None:
        """Forget everything of decisions and sweeps older than `days`. `now`: Unix milliseconds."""
        limit = now - days * DAY_MS
        old = select(DECISIONS.c.decision_id).where(DECISIONS.c.at < limit)
        with self._engine.begin() as connection:
            connection.execute(delete(FEEDBACK).where(FEEDBACK.c.decision_id.in_(old)))
            connection.execute(delete(STEPS).where(STEPS.c.at < limit))
            connection.execute(delete(SCOUT).where(SCOUT.c.at < limit))
            connection.execute(delete(CHOICES).where(CHOICES.c.at < limit))
            connection.execute(delete(SAMPLED).where(SAMPLED.c.at < limit))
            connection.execute(delete(DECISIONS).where(DECISIONS.c.at < limit))
            if inspect(connection).has_table(RESULTS.name):  # the first sweep makes it
                connection.execute(delete(RESULTS).where(RESULTS.c.at < limit))
