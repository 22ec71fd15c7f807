"""The audit log of one router process."""

from collections.abc import Mapping

from pydantic import JsonValue

from serve.audit import records
from serve.audit.port import Audit, NoAudit, Written
from serve.audit.records import Draft
from serve.audit.writer import Writer
from serve.config import Config


class AuditLog:
    """An Audit with a database behind it; `url` None is the default one."""

    def __init__(self, config: Config, url: str | None) -> None:
        self._writer = Writer(url, config.audit)

    def submit(self, draft: Draft) -> None:
        """Write it soon."""
        self._writer.submit(draft)

    def write(self, draft: Draft) -> Written:
        """Write it now, and tell when it is on the disk."""
        return self._writer.write(draft)

    def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
        """An event about a decision. Raises ValueError for what the log does not take."""
        self.submit(records.event(kind, decision_id, fields))

    def status(self) -> dict[str, JsonValue]:
        """How it stands, for /readyz."""
        fault = self._writer.fault
        state = "failing" if fault else "ok" if self._writer.began else "starting"
        return {"state": state, "why": fault, "lost": self._writer.lost, "failures": self._writer.failures}

    def close(self) -> None:
        """Write what waits and let go of the database. Blocks."""
        self._writer.close()


def open_audit(config: Config) -> Audit:
    """The log that `config` asks for. A database that cannot be reached shows in `status`, not here."""
    return AuditLog(config, config.state.resolve()) if config.audit.enabled else NoAudit()
