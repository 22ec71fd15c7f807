"""One hash chain: each record's hash covers the record and the hash before it. One writer per chain.

Knows how records are linked and put into the tables. Knows no threads.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, bindparam, insert, update

from serve import __version__
from serve.audit.pseudonyms import pseudonyms
from serve.audit.records import Draft, Opened, code
from serve.audit.tables import HEADS, RECORDS

GENESIS = "0" * 64
"""The hash before the first record."""

# Made once: building them anew took about a fifth of the CPU time of a transaction.
_ADD = insert(RECORDS)
_MOVE = (
    update(HEADS)
    .where(HEADS.c.chain == bindparam("mine"))
    .values(seq=bindparam("last"), hash=bindparam("latest"))
)


def canonical(record: Mapping[str, JsonValue]) -> str:
    """The record as the text that is hashed: sorted keys, no spaces, ASCII."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def digest(previous: str, body: str) -> str:
    """sha256 over the hash before and the record, in hexadecimal."""
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


class Chain:
    """The end of one chain. A writer whose transaction failed may not know how far it got: it begins another."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.seq, self.hash = 0, GENESIS
        self._opening = Draft.of(Opened(version=code(__version__)))

    def append(self, connection: Connection, drafts: Sequence[Draft]) -> None:
        """Add records within the transaction of `connection`. Raises SQLAlchemyError; then throw the chain away."""
        first = self.seq == 0
        drafts = [self._opening, *drafts] if first else drafts
        names = pseudonyms(connection, {draft.key for draft in drafts if draft.key is not None})
        rows = [self._next(draft, names) for draft in drafts]
        if not rows:
            return
        connection.execute(_ADD, rows)
        head = {"mine": self.id, "last": self.seq, "latest": self.hash}
        # Retention takes the head of a chain that was silent for so long that nothing of it was left.
        if first or connection.execute(_MOVE, head).rowcount == 0:
            connection.execute(insert(HEADS), [{"chain": self.id, "seq": self.seq, "hash": self.hash}])

    def _next(self, draft: Draft, names: Mapping[str, str]) -> dict[str, Any]:
        self.seq += 1
        fields = dict(draft.fields)
        if draft.key is not None:
            fields["key"] = names[draft.key]
        columns: dict[str, JsonValue] = {
            "chain": self.id,
            "seq": self.seq,
            "at": draft.at,
            "kind": draft.kind,
            "decision": draft.decision,
        }
        body = canonical(fields | columns)
        self.hash = digest(self.hash, body)
        return {**columns, "body": body, "hash": self.hash}
