"""Keys in an SQLite database: create, list, revoke, rotate. Sees no secret, only its digest."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from serve.errors import KeyNameTaken, KeysUnreadable, UnknownKey
from serve.keys.config import SQLITE
from serve.keys.entry import KeyEntry, usable

_keys = Table(
    "keys",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Integer),
    Column("retired_at", Integer),
    Column("grant", String, nullable=False),
)
_one_current_key_per_name = Index(
    "one_current_key_per_name", _keys.c.name, unique=True, sqlite_where=_keys.c.retired_at.is_(None)
)


def default_path() -> Path:
    """`pointsman/keys.db` in the XDG state directory."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "pointsman" / "keys.db"


class KeyStore:
    """One database file; it is made, readable for its owner alone, with the first key."""

    def __init__(self, url: str | None = None) -> None:
        self.path = Path(url.removeprefix(SQLITE)) if url else default_path()
        # No pool: a forgotten connection must not hold a lock, and keys are read every two seconds, not more.
        self._engine = create_engine(f"{SQLITE}{self.path}", poolclass=NullPool, connect_args={"timeout": 5})

    def entries(self) -> list[KeyEntry]:
        """Every usable entry, oldest first; none while no key was ever created. Raises KeysUnreadable."""
        if not self._exists():
            return []
        with self._reading() as connection:
            rows = connection.execute(select(_keys).order_by(_keys.c.created_at, _keys.c.id)).mappings().all()
        return usable({**row, "grant": _grant(row["grant"])} for row in rows)

    def add(self, entry: KeyEntry) -> None:
        """Keep a new key. Raises KeyNameTaken, KeysUnreadable."""
        with self._writing() as connection:
            _insert(connection, entry)

    def revoke(self, who: str) -> list[str]:
        """Stop every key with this name or id now; the ids that still worked. Raises UnknownKey, KeysUnreadable."""
        now = int(time.time())
        with self._writing() as connection:
            ids = [row.id for row in connection.execute(select(_keys).where(_called(who), _working(now)))]
            connection.execute(
                update(_keys).where(_keys.c.id.in_(ids)).values(retired_at=now, expires_at=now)
            )
        if not ids:
            raise UnknownKey(f"No working key has the name or id {who!r}: see `pointsman keys list`")
        return ids

    def rotate(self, old: KeyEntry, new: KeyEntry, grace_s: int) -> None:
        """Put `new` in the place of `old`, which works for another `grace_s` seconds at most.

        Raises UnknownKey when somebody else has replaced it meanwhile, KeysUnreadable.
        """
        now = int(time.time())
        ends = now + grace_s
        if old.expires_at is not None:
            ends = min(ends, int(old.expires_at.timestamp()))
        with self._writing() as connection:
            current = (_keys.c.id == old.id) & _keys.c.retired_at.is_(None)
            done = connection.execute(update(_keys).where(current).values(retired_at=now, expires_at=ends))
            if done.rowcount != 1:
                raise UnknownKey(f"The key {old.id} was replaced or revoked: see `pointsman keys list`")
            _insert(connection, new)

    def current(self, who: str) -> KeyEntry:
        """The key with this name or id that is neither revoked nor replaced. Raises UnknownKey, KeysUnreadable."""
        for entry in self.entries():
            if who in (entry.id, entry.name) and entry.retired_at is None:
                return entry
        raise UnknownKey(f"No current key has the name or id {who!r}: see `pointsman keys list`")

    def _exists(self) -> bool:
        try:
            return self.path.exists()
        except OSError as error:
            raise KeysUnreadable(f"{self.path}: {error.strerror or 'cannot be read'}") from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise KeysUnreadable(f"{self.path}: {_words(error)}") from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            self._make_private()
            with self._engine.begin() as connection:
                connection.execute(CreateTable(_keys, if_not_exists=True))
                connection.execute(CreateIndex(_one_current_key_per_name, if_not_exists=True))
                yield connection
        except OSError as error:
            raise KeysUnreadable(f"{self.path}: {error.strerror or 'cannot be written'}") from error
        except SQLAlchemyError as error:
            raise KeysUnreadable(f"{self.path}: {_words(error)}") from error

    def _make_private(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))


def _insert(connection: Connection, entry: KeyEntry) -> None:
    row = {
        "id": entry.id,
        "name": entry.name,
        "sha256": entry.sha256,
        "created_at": _unix(entry.created_at) or int(time.time()),
        "expires_at": _unix(entry.expires_at),
        "retired_at": _unix(entry.retired_at),
        "grant": entry.grant.model_dump_json(exclude_defaults=True),
    }
    try:
        connection.execute(insert(_keys).values(row))
    except IntegrityError:
        raise KeyNameTaken(
            f"There is a key called {entry.name!r}: rotate it, revoke it, or choose another name"
        ) from None


def _unix(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at else None


def _called(who: str) -> ColumnElement[bool]:
    return or_(_keys.c.id == who, _keys.c.name == who)


def _working(now: int) -> ColumnElement[bool]:
    return or_(_keys.c.retired_at.is_(None), _keys.c.expires_at > now)


def _grant(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text  # the entry is refused, by name, and the others stand


def _words(error: SQLAlchemyError) -> str:
    return str(error.__cause__ or type(error).__name__)
