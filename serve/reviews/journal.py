"""Who is told what happened to a review: ids and codes, never a word of content."""

import json
import logging
from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

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
