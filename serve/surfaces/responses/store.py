"""Kept responses in the state database: whose they are, what they continue with, and when they are deleted.

Knows SQL. Does not know what a response is. Every method blocks, and raises SQLAlchemyError.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    MetaData,
    Row,
    String,
    Table,
    Text,
    and_,
    delete,
    event,
    func,
    insert,
    select,
    text,
)

from serve import state
from serve.surfaces.responses.config import ResponsesConfig

_TABLES = MetaData()
_RESPONSES = Table(
    "responses",
    _TABLES,
    Column("id", String, primary_key=True),
    Column("key_id", String, nullable=False),
    Column("level", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("messages", Text, nullable=False),  # as JSON, like the document: PostgreSQL keeps no NUL in a text
    Column("document", Text, nullable=False),
    Index("responses_by_key", "key_id", "created_at", "size"),
    Index("responses_by_age", "created_at", "size"),
    Index("responses_by_end", "expires_at"),
)
_at = _RESPONSES.c
_PLACES = 0x72657370  # PostgreSQL's lock for "a place is being taken"


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """level: the class of the conversation. messages: all of it up to the answer, without `instructions`."""

    id: str
    key_id: str
    level: str
    created_at: int
    messages: list[dict[str, JsonValue]]
    document: dict[str, JsonValue]


class ResponseStore:
    """The table of responses. `now` is in Unix seconds."""

    def __init__(self, engine: Engine, config: ResponsesConfig) -> None:
        self._engine, self._config = engine, config
        self._to_forget = False
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _overwrite_what_is_deleted)
        state.create(engine, _TABLES)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def add(self, kept: KeptResponse, now: int) -> bool:
        """Keep a new one, and let the oldest ones make room; False for one that is too large."""
        messages, document = json.dumps(kept.messages), json.dumps(kept.document)
        size = len(messages) + len(document)
        if size > min(self._config.max_bytes_each, self._config.max_bytes_per_key, self._config.max_bytes):
            return False
        row = {
            "id": kept.id,
            "key_id": kept.key_id,
            "level": kept.level,
            "created_at": kept.created_at,
            "expires_at": now + self._config.keep_s,
            "size": size,
            "messages": messages,
            "document": document,
        }
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PLACES})
            made_room = self._make_room(connection, kept.key_id, size)
            connection.execute(insert(_RESPONSES).values(row))
        if made_room:
            self._forget()
        return True

    def find(self, response_id: str, key_id: str, now: int) -> KeptResponse | None:
        """The response, if it is this key's and its time is not over."""
        mine = and_(_at.id == response_id, _at.key_id == key_id, _at.expires_at > now)
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            row = connection.execute(select(_RESPONSES).where(mine)).one_or_none()
        return None if row is None else _kept(row)

    def weight(self, response_ids: Sequence[str], key_id: str, now: int) -> int:
        """Characters of the documents of those that are this key's."""
        length = func.coalesce(func.sum(func.length(_at.document)), 0)
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            mine = (_mine(some, key_id, now) for some in _few(response_ids))
            return sum(connection.execute(select(length).where(one)).scalar_one() for one in mine)

    def outputs(
        self, response_ids: Sequence[str], key_id: str, now: int
    ) -> Iterator[tuple[str, str, JsonValue]]:
        """Id, class and output items of those that are this key's; one document at a time is unpacked."""
        with self._engine.connect().execution_options(**state.READ_ONLY) as connection:
            for some in _few(response_ids):
                wanted = select(_at.id, _at.level, _at.document).where(_mine(some, key_id, now))
                for row in connection.execute(wanted):
                    yield row.id, row.level, json.loads(row.document)["output"]

    def remove(self, response_id: str, key_id: str, now: int) -> bool:
        """Delete it; False where this key has none of that id."""
        mine = and_(_at.id == response_id, _at.key_id == key_id, _at.expires_at > now)
        with self._engine.begin() as connection:
            found = connection.execute(delete(_RESPONSES).where(mine)).rowcount == 1
        if found:
            self._forget()
        return found

    def sweep(self, now: int) -> None:
        """Delete those whose time is over."""
        with self._engine.begin() as connection:
            wiped = connection.execute(delete(_RESPONSES).where(_at.expires_at <= now)).rowcount
        if wiped or self._to_forget:
            self._forget()

    def _make_room(self, connection: Connection, key_id: str, size: int) -> bool:
        """Whether something was deleted for it."""
        most = self._config
        mine = select(_at.id, _at.size).where(_at.key_id == key_id).order_by(_at.created_at.desc())
        beyond = _beyond(connection.execute(mine), most.max_kept_per_key, most.max_bytes_per_key - size)
        gone = _drop(connection, beyond)
        count, total = connection.execute(
            select(func.count(), func.coalesce(func.sum(_at.size), 0)).select_from(_RESPONSES)
        ).one()
        if count >= most.max_kept or total + size > most.max_bytes:
            everything = select(_at.id, _at.size).order_by(_at.created_at.desc())
            beyond = _beyond(connection.execute(everything), most.max_kept, most.max_bytes - size)
            gone += _drop(connection, beyond)
        return gone > 0

    def _forget(self) -> None:
        """Empty the write-ahead log; where it is in use, the next sweep tries again."""
        self._to_forget = True
        self._to_forget = not state.forget(self._engine)


def _mine(response_ids: Sequence[str], key_id: str, now: int) -> ColumnElement[bool]:
    return and_(_at.id.in_(response_ids), _at.key_id == key_id, _at.expires_at > now)


def _few(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """A statement of SQLite has a limited number of values."""
    return (ids[start : start + 500] for start in range(0, len(ids), 500))


def _beyond(rows: Iterable[Row[Any]], count: int, size: int) -> list[str]:
    """Ids of rows, newest first, that do not fit beside one more."""
    gone: list[str] = []
    total = 0
    for number, row in enumerate(rows, 1):
        total += row.size
        if number >= count or total > size:
            gone.append(row.id)
    return gone


def _drop(connection: Connection, ids: list[str]) -> int:
    """How many there were to delete."""
    for some in _few(ids):
        connection.execute(delete(_RESPONSES).where(_at.id.in_(some)))
    return len(ids)


def _kept(row: Row[Any]) -> KeptResponse:
    return KeptResponse(
        id=row.id,
        key_id=row.key_id,
        level=row.level,
        created_at=row.created_at,
        messages=json.loads(row.messages),
        document=json.loads(row.document),
    )


def _overwrite_what_is_deleted(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA secure_delete=ON")
