"""The audit log as the rest of Pointsman sees it, and the one that is switched off. Imports no database."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from serve.audit.records import Draft


class Written(Protocol):
    """A record on its way to the disk."""

    @property
    def known(self) -> str | None:
        """Why it will not get there, as far as that can be told without waiting."""
        ...

    async def fault(self) -> str | None:
        """None once it is on the disk; else, within a bounded time, why it is not. Any number may wait."""
        ...


class Audit(Protocol):
    """Takes records; says whether it can."""

    def submit(self, draft: Draft) -> None:
        """Write it soon; never waits, never raises."""
        ...

    def write(self, draft: Draft) -> Written:
        """Write it now; whoever must not go on without it waits for what this gives."""
        ...

    def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
        """An event about a decision: `records.EVENTS` with `records.EVENT_FIELDS`, ids, codes and whole numbers.

        `key` is the id of a key; the log holds its pseudonym. Raises ValueError for anything else.
        """
        ...

    def status(self) -> dict[str, JsonValue]:
        """`state` (`ok`, `starting`, `failing`, `off`), `why`, records `lost`, and `failures`: writes that failed."""
        ...

    def close(self) -> None:
        """Write what waits, within a bounded time, and let go of the database. Blocks."""
        ...


class NotWanted:
    """Of a record that nobody keeps: nothing waits for it."""

    known: str | None = None

    async def fault(self) -> str | None:
        """At once."""
        return None


NOT_WANTED = NotWanted()


class NoAudit:
    """Nothing is written down, and nothing waits for it."""

    def submit(self, draft: Draft) -> None:
        """Forget it."""

    def write(self, draft: Draft) -> Written:
        """Forget it."""
        return NOT_WANTED

    def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
        """Forget it."""

    def status(self) -> dict[str, JsonValue]:
        """Off."""
        return {"state": "off", "why": None, "lost": 0, "failures": 0}

    def close(self) -> None:
        """Nothing waits."""
