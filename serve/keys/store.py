"""Keys in a database, SQLite or PostgreSQL: create, list, revoke, rotate. Sees no secret, only its digest."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    MetaData,
    String,
    Table,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from serve.errors import KeyNameTaken, KeysUnreadable, UnknownKey
from serve.keys.config import SQLITE
from serve.keys.entry import KeyEntry, usable
from serve.keys.place import File, Place, Server

_keys = Table(
    "keys",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("retired_at", BigInteger),
    Column("grant", String, nullable=False),
)
_is_current = _keys.c.retired_at.is_(None)
_one_current_key_per_name = Index(
    "one_current_key_per_name",
    _keys.c.name,
    unique=True,
    sqlite_where=_is_current,
    postgresql_where=_is_current,
)


def default_path() -> Path:
    """`pointsman/keys.db` in the XDG state directory."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "pointsman" / "keys.db"


class KeyStore:
    """One database: `sqlite:////absolute/path`, `postgresql://…`, or None for the file at `default_path`."""

    def __init__(self, url: str | None = None) -> None:
        self._place = _place(url)

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
        stopped = update(_keys).where(_called(who), _working(now)).values(retired_at=now, expires_at=now)
        with self._writing() as connection:
            ids = list(connection.execute(stopped.returning(_keys.c.id)).scalars())
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
            current = (_keys.c.id == old.id) & _is_current
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
        with self._plainly("read"):
            return self._place.exists(_keys.name)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._plainly("read"), self._place.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._plainly("written"):
            self._place.make()
            with self._place.engine.begin() as connection:
                self._place.lock(connection)
                connection.execute(CreateTable(_keys, if_not_exists=True))
                connection.execute(CreateIndex(_one_current_key_per_name, if_not_exists=True))
                yield connection

    @contextmanager
    def _plainly(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KeysUnreadable(f"{self._place.name}: {error.strerror or f'cannot be {done}'}") from error
        except SQLAlchemyError as error:
            raise KeysUnreadable(f"{self._place.name}: {self._place.words(error)}") from error


def _place(url: str | None) -> Place:
    if url is None or url.startswith(SQLITE):
        return File(Path(url.removeprefix(SQLITE)) if url else default_path())
    return Server(url)


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
