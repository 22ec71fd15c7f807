"""Seals of thoughts in the state database: which lane gave a closed blob, and how confidential that was. No content.

Every method blocks, and raises SQLAlchemyError.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Engine, Index, MetaData, String, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from serve import state

_TABLES = MetaData()
_SEALS = Table(
    "thoughts",
    _TABLES,
    Column("id", String, primary_key=True),
    Column("lane", String, nullable=False),
    Column("place", String, nullable=False),
    Column("level", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("thoughts_by_age", "at"),
)
_at = _SEALS.c


@dataclass(frozen=True, slots=True)
class Seal:
    """One blob that was handed to a client.

    id     a hash of the client's key and the blob
    lane   who gave it; `place`: a hash of where and what that lane was then
    level  the class of the request that it answered
    at     Unix seconds
    """

    id: str
    lane: str
    place: str
    level: str
    at: int


class SealStore:
    """The table of seals."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        state.create(engine, _TABLES)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def find(self, ids: Iterable[str], since: int) -> dict[str, Seal]:
        """Those that are known and younger than `since` (Unix seconds), by id."""
        wanted = sorted(ids)
        found: dict[str, Seal] = {}
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            for start in range(0, len(wanted), 500):  # a statement of SQLite has a limited number of values
                some = select(_SEALS).where(_at.id.in_(wanted[start : start + 500]), _at.at > since)
                rows = connection.execute(some)
                found |= {r.id: Seal(r.id, r.lane, r.place, r.level, r.at) for r in rows}
        return found

    def put(self, seals: Iterable[Seal]) -> None:
        """Keep them. One that is there already was given again, and the last word counts."""
        with self._engine.begin() as connection:
            for seal in seals:
                row = {"lane": seal.lane, "place": seal.place, "level": seal.level, "at": seal.at}
                new = self._insert(_SEALS).values({"id": seal.id} | row)
                connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=row))

    def sweep(self, before: int, most: int) -> None:
        """Delete what is older than `before`, and the oldest ones beyond `most`."""
        beyond = select(_at.id).order_by(_at.at.desc(), _at.id).offset(most)
        with self._engine.begin() as connection:
            connection.execute(delete(_SEALS).where(_at.at <= before))
            connection.execute(delete(_SEALS).where(_at.id.in_(beyond)))
