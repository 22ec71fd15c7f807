"""Reviews in the state database. Content is deleted as soon as nobody needs it; a decision happens once.

Knows SQL. Does not know who may do what. Every method blocks, and raises SQLAlchemyError.
"""

import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    and_,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from serve import state
from serve.errors import ReviewsFull, TooManyReviews
from serve.reviews.config import ReviewsConfig
from serve.reviews.review import Review, Status, Verdict

ROW_S = 30 * 86_400
"""How long it is remembered, without content, that there was a review."""

_TABLES = MetaData()
_REVIEWS = Table(
    "reviews",
    _TABLES,
    Column("id", String, primary_key=True),
    *(
        Column(name, String, nullable=False)
        for name in ("decision_id", "key_id", "key_name", "level", "task", "lane", "rule", "because")
    ),
    Column("unseen", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("decided_at", BigInteger),
    Column("reviewer", String),
    Column("prompt", Text),
    Column("answer", Text),
    Column("note", Text),
    Index("reviews_by_status", "status", "created_at"),
)
_at = _REVIEWS.c
_CONTENT = ("prompt", "answer", "note")  # as JSON: PostgreSQL keeps no NUL in a text
_BRIEF = [column for column in _REVIEWS.c if column.name not in _CONTENT]
_PLACES = 0x72657669  # PostgreSQL's lock for "a place is being taken"


class ReviewStore:
    """The table of reviews. `now` is in Unix seconds."""

    def __init__(self, engine: Engine, config: ReviewsConfig) -> None:
        self._engine, self._config = engine, config
        self._to_forget = False
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _overwrite_what_is_deleted)
        state.create(engine, _TABLES)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def require_room(self, key_id: str, now: int) -> None:
        """Raises TooManyReviews or ReviewsFull where another one of this key could not wait."""
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            self._require_room(connection, key_id, now)

    def add(self, review: Review, now: int) -> None:
        """Keep a new one. Raises TooManyReviews, ReviewsFull."""
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PLACES})
            self._require_room(connection, review.key_id, now)
            connection.execute(insert(_REVIEWS).values(_row(review)))

    def find(self, review_id: str, now: int) -> Review | None:
        """The review as it stands now."""
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            row = connection.execute(select(_REVIEWS).where(_at.id == review_id)).mappings().one_or_none()
        return None if row is None else self._review(row, now)

    def listed(self, status: Status, limit: int, now: int) -> list[Review]:
        """The oldest ones with this status, without their content."""
        rows = select(*_BRIEF).where(_has(status, now)).order_by(_at.created_at, _at.id).limit(limit)
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            return [self._review(row, now) for row in connection.execute(rows).mappings()]

    def waiting(self, now: int) -> int:
        """How many wait to be decided."""
        waiting = select(func.count()).select_from(_REVIEWS).where(_has("pending", now))
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            return connection.execute(waiting).scalar_one()

    def decide(self, review_id: str, verdict: Verdict, reviewer: str, note: str, now: int) -> bool:
        """Settle one that waits; False when it waits no longer. What the verdict makes useless is deleted."""
        values: dict[str, object] = {
            "status": verdict,
            "decided_at": now,
            "reviewer": reviewer,
            "note": json.dumps(note),
            "prompt": None,
        }
        if verdict == "rejected":
            values["answer"] = None
        waits = and_(_at.id == review_id, _has("pending", now))
        with self._engine.begin() as connection:
            won = connection.execute(update(_REVIEWS).where(waits).values(values)).rowcount == 1
        if won:
            self._forget()
        return won

    def sweep(self, now: int) -> list[Review]:
        """Delete all content whose time is over, and old rows; those that expired, each told to one caller only."""
        over = and_(_at.status == "pending", _at.expires_at <= now)
        with self._engine.begin() as connection:
            found = connection.execute(select(*_BRIEF).where(over).with_for_update(skip_locked=True))
            expired = [self._review(row, now) for row in found.mappings()]
            gone = _at.id.in_([review.id for review in expired])
            empty = dict.fromkeys(_CONTENT)
            wiped = connection.execute(
                update(_REVIEWS).where(gone).values(status="expired", **empty)
            ).rowcount
            kept = and_(
                _at.decided_at <= now - self._config.keep_s,
                or_(_at.answer.is_not(None), _at.note.is_not(None)),
            )
            wiped += connection.execute(update(_REVIEWS).where(kept).values(empty)).rowcount
            ended = func.coalesce(_at.decided_at, _at.expires_at)
            old = and_(_at.status != "pending", ended <= now - self._config.keep_s - ROW_S)
            connection.execute(delete(_REVIEWS).where(old))
        if wiped or self._to_forget:
            self._forget()
        return expired

    def _forget(self) -> None:
        """Empty the write-ahead log; where it is in use, the next sweep tries again."""
        self._to_forget = True
        self._to_forget = not state.forget(self._engine)

    def _require_room(self, connection: Connection, key_id: str, now: int) -> None:
        most, of_key = self._config.max_pending, self._config.max_pending_per_key
        waiting = select(func.count()).select_from(_REVIEWS).where(_has("pending", now))
        if connection.execute(waiting.where(_at.key_id == key_id)).scalar_one() >= of_key:
            raise TooManyReviews(of_key)
        if connection.execute(waiting).scalar_one() >= most:
            raise ReviewsFull(most)

    def _review(self, row: RowMapping, now: int) -> Review:
        values: dict[str, Any] = dict(row)
        for name in _CONTENT:
            kept = values.get(name)
            values[name] = None if kept is None else json.loads(kept)
        if values["status"] == "pending" and values["expires_at"] <= now:
            values |= {"status": "expired", **dict.fromkeys(_CONTENT)}
        if values["decided_at"] is not None and values["decided_at"] <= now - self._config.keep_s:
            values |= dict.fromkeys(_CONTENT)
        return Review(**values)


def _has(status: Status, now: int) -> ColumnElement[bool]:
    if status == "pending":
        return and_(_at.status == "pending", _at.expires_at > now)
    if status == "expired":
        return or_(_at.status == "expired", and_(_at.status == "pending", _at.expires_at <= now))
    return _at.status == status


def _row(review: Review) -> dict[str, object]:
    row = asdict(review)
    return row | {name: None if row[name] is None else json.dumps(row[name]) for name in _CONTENT}


def _overwrite_what_is_deleted(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA secure_delete=ON")
