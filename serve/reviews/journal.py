"""Who is told what happened to a review: ids and codes, never a word of content."""

import json
import logging
from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from serve.audit import records
from serve.audit.port import Audit

log = logging.getLogger("pointsman.review")


class Journal(Protocol):
    """Keeps what happened. Called off the event loop, after it has been stored."""

    def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
        """One event: `review_held`, `review_approved`, `review_rejected` or `review_expired`."""
        ...


class LogJournal:
    """One structured line per event."""

    def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
        """Log it."""
        log.info("review %s", json.dumps({"kind": kind, "decision_id": decision_id, **fields}))


class AuditJournal:
    """The log, and a record in the audit log whose key is the one who acted: the reviewer, else who asked."""

    def __init__(self, audit: Audit) -> None:
        self._audit, self._log = audit, LogJournal()

    def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
        """Log it and write it down."""
        self._log.note(kind, decision_id, fields)
        named: dict[str, JsonValue] = {
            name: records.code(str(fields[name]))
            for name in ("review", "class", "lane", "rule")
            if fields.get(name)
        }
        self._audit.note(kind, decision_id, named | {"key": fields.get("reviewer") or fields.get("key")})
