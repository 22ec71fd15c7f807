"""Pseudonyms of keys: an HMAC of the key's id under a secret of that key. Without the secret nobody can undo it."""

import hmac
import secrets
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from serve.audit.tables import KEYS

SECRET_BYTES = 32
_LENGTH = 32


def pseudonym(key: str, secret: str) -> str:
    """The pseudonym of a key's id, 128 bits in hexadecimal."""
    return hmac.digest(bytes.fromhex(secret), key.encode(), "sha256").hex()[:_LENGTH]


def pseudonyms(connection: Connection, keys: Iterable[str]) -> Mapping[str, str]:
    """The pseudonym of each key; one that has none yet, or none any more, gets a new secret."""
    wanted = set(keys)
    if not wanted:
        return {}
    found = _secrets(connection, wanted)
    if missing := sorted(wanted - found.keys()):
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        rows = [{"key": key, "secret": secrets.token_hex(SECRET_BYTES)} for key in missing]
        connection.execute(insert(KEYS).on_conflict_do_nothing(), rows)
        found = _secrets(connection, wanted)
    return {key: pseudonym(key, secret) for key, secret in found.items()}


def erase(connection: Connection, key: str) -> str | None:
    """Drop the key's secret and tell the pseudonym that it had, None when it had none."""
    found = _secrets(connection, {key}).get(key)
    if found is None:
        return None
    connection.execute(delete(KEYS).where(KEYS.c.key == key))
    return pseudonym(key, found)


def _secrets(connection: Connection, keys: set[str]) -> dict[str, str]:
    rows = connection.execute(_SECRETS, {"keys": list(keys)})
    return {row.key: row.secret for row in rows}


# Made once: building them anew took about a fifth of the CPU time of a transaction.
_SECRETS = select(KEYS.c.key, KEYS.c.secret).where(KEYS.c.key.in_(bindparam("keys", expanding=True)))
