"""Sessions in the state database: which lane answered last, and when. Hashes and names of lanes, never content.

Every method blocks, and raises SQLAlchemyError.
"""

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Engine, Index, MetaData, String, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from serve import state

_TABLES = MetaData()
_SESSIONS = Table(
    "sessions",
    _TABLES,
    Column("id", String, primary_key=True),
    Column("lane", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("sessions_by_age", "at"),
)
_at = _SESSIONS.c


@dataclass(frozen=True, slots=True)
class Placed:
    """A session on a lane. `at`: Unix seconds of its last answer."""

    id: str
    lane: str
    rule: str
    at: int


class SessionStore:
    """The table of sessions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        state.create(engine, _TABLES)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def find(self, session_id: str, since: int) -> Placed | None:
        """The session, if it was answered after `since` (Unix seconds)."""
        wanted = select(_SESSIONS).where(_at.id == session_id, _at.at > since)
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else Placed(row.id, row.lane, row.rule, row.at)

    def put(self, placed: Placed) -> None:
        """Keep it in the place of what was known; an answer that was begun earlier does not move it back."""
        row = {"id": placed.id, "lane": placed.lane, "rule": placed.rule, "at": placed.at}
        new = self._insert(_SESSIONS).values(row)
        newer = new.on_conflict_do_update(index_elements=["id"], set_=row, where=_at.at <= placed.at)
        with self._engine.begin() as connection:
            connection.execute(newer)

    def sweep(self, before: int, most: int) -> None:
        """Delete what is older than `before`, and the oldest ones beyond `most`."""
        beyond = select(_at.id).order_by(_at.at.desc(), _at.id).offset(most)
        with self._engine.begin() as connection:
            connection.execute(delete(_SESSIONS).where(_at.at <= before))
            connection.execute(delete(_SESSIONS).where(_at.id.in_(beyond)))
