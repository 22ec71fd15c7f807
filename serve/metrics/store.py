"""The table of snapshots: what each Router counted, and the sum of those that ended long ago.

Raises SQLAlchemyError. Blocks: for a thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    text,
    update,
)

from serve import state
from serve.metrics.sheet import Sheet, merged, read, written

ENDED = "ended"
FOLD_MS = 3_600_000
"""A Router that has written nothing for so long is taken for ended."""
_FOLDING = 0x6D657472  # PostgreSQL's lock for "old snapshots are being added up"

_TABLES = MetaData()
_SNAPSHOTS = Table(
    "metrics_snapshots",
    _TABLES,
    Column("replica", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)
_at = _SNAPSHOTS.c


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one Router had counted `at` Unix milliseconds."""

    at: int
    sheet: Sheet


class SnapshotStore:
    """The table in one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        state.create(engine, _TABLES)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def write(self, replica: str, sheet: Sheet, now: int, *, new: bool) -> Mapping[str, Snapshot] | None:
        """Put the snapshot down and read those of all, in one transaction, so that sums never go back.

        None: it was added to the ended ones meanwhile, because it had not been written for long; nothing is written.
        """
        with self._engine.begin() as connection:
            self._fold(connection, now, replica)
            if not self._put(connection, replica, sheet, now, new):
                return None
            rows = connection.execute(select(_SNAPSHOTS)).all()
        return {row.replica: Snapshot(row.at, read(row.document)) for row in rows}

    def _put(self, connection: Connection, replica: str, sheet: Sheet, now: int, new: bool) -> bool:
        values = {"at": now, "document": written(sheet)}
        if new:
            connection.execute(insert(_SNAPSHOTS).values(replica=replica, **values))
            return True
        return (
            connection.execute(update(_SNAPSHOTS).where(_at.replica == replica).values(values)).rowcount == 1
        )

    def _fold(self, connection: Connection, now: int, replica: str) -> None:
        """Add old snapshots to the one of those that have ended."""
        old = (_at.at < now - FOLD_MS) & _at.replica.not_in((ENDED, replica))
        if connection.execute(select(_at.replica).where(old).limit(1)).first() is None:
            return
        if self._engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _FOLDING})
        rows = connection.execute(select(_SNAPSHOTS).where(old).with_for_update()).all()
        before = connection.execute(select(_at.document).where(_at.replica == ENDED)).scalar()
        sheets = [read(row.document).counted for row in rows]
        whole = merged([read(before), *sheets] if before else sheets)
        connection.execute(delete(_SNAPSHOTS).where(_at.replica.in_([ENDED, *(row.replica for row in rows)])))
        # 0: nobody is alive behind it.
        connection.execute(insert(_SNAPSHOTS).values(replica=ENDED, at=0, document=written(whole)))
