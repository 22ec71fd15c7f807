"""What one check found. Knows no check."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `said` tells what is, `todo` what to do; no secret stands in either.

    `warn`: it works, or may work, yet somebody should know. `fail`: it does not.
    """

    check: str
    status: Status
    said: str
    todo: str = ""


def ok(check: str, said: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", said)


def warn(check: str, said: str, todo: str) -> Finding:
    """Worth a look."""
    return Finding(check, "warn", said, todo)


def fail(check: str, said: str, todo: str) -> Finding:
    """To be mended first."""
    return Finding(check, "fail", said, todo)


def failed(findings: Iterable[Finding]) -> bool:
    """Whether anything has to be mended."""
    return any(finding.status == "fail" for finding in findings)
