"""Recompute every chain, and name the first record of each that is not what its writer wrote.

Proves that nothing was changed, removed, added or moved by whoever could not also rewrite all that follows and the
heads that somebody kept elsewhere: `known` compares with those.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from sqlalchemy import Connection, and_, func, not_, select

from serve.audit import rows
from serve.audit.chain import GENESIS, digest
from serve.audit.records import Checkpoint
from serve.audit.rows import Row
from serve.audit.tables import RECORDS

Heads = Mapping[str, tuple[int, str]]
Anchors = Mapping[str, tuple[int, str]] | Mapping[str, tuple[int, None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """The first record of a chain that is wrong."""

    chain: str
    seq: int
    what: str


@dataclass(slots=True)
class Report:
    """What was found. `unfinished`: decisions with an intent and no outcome, as a crash leaves them."""

    records: int = 0
    removed: int = 0
    unfinished: int = 0
    torn: bool = False
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every chain is whole."""
        return not self.faults


def log(connection: Connection | None, known: Heads | None = None) -> Report:
    """The whole log of a database. `known`: heads from an earlier time, which must still be there."""
    report = Report()
    if connection is None:
        _compare(report, known or {}, {}, {})
        return report
    checkpoints = _checkpoints(rows.of_kind(connection, "checkpoint"))
    seen = _chains(report, rows.rows(connection), checkpoints, known or {})
    _ends(report, rows.heads(connection), checkpoints)
    _compare(report, known or {}, seen, checkpoints)
    report.unfinished = _unfinished(connection)
    report.removed = sum(upto for upto, _ in checkpoints.values())
    return report


def lines(found: list[Row], torn: bool) -> Report:
    """The rows of an exported file, which may begin anywhere: the first of each chain is taken as it is."""
    report = Report(torn=torn)
    _chains(report, found, {row.chain: (row.seq - 1, None) for row in reversed(found)}, {})
    return report


def _chains(report: Report, found: Iterable[Row], anchors: Anchors, known: Heads) -> dict[str, str]:
    """Check each chain from its beginning or its anchor; the hashes found at the `known` places."""
    seen: dict[str, str] = {}
    for chain, members in groupby(found, key=lambda row: row.chain):
        wanted = known[chain][0] if chain in known else None
        for row, fault in _links(members, anchors.get(chain)):
            report.records += 1
            if fault is not None:
                report.faults.append(fault)
                break
            report.heads[chain] = (row.seq, row.hash)
            if row.seq == wanted:
                seen[chain] = row.hash
    return seen


def _links(
    members: Iterable[Row], anchor: tuple[int, str | None] | None
) -> Iterator[tuple[Row, Fault | None]]:
    """Each row, and what is wrong with it. An anchor without a hash: nobody knows what came before."""
    seq, previous = 0, GENESIS
    for number, row in enumerate(members):
        if number == 0 and anchor is not None and row.seq > 1:
            seq, previous = anchor[0], anchor[1] or ""
        wrong = _wrong(row, seq, previous)
        yield row, Fault(row.chain, min(row.seq, seq + 1), wrong) if wrong else None
        seq, previous = row.seq, row.hash


def _wrong(row: Row, seq: int, previous: str) -> str | None:
    if row.seq != seq + 1:
        return "is missing" if row.seq > seq + 1 else "stands where no record should be"
    if not _agrees(row):
        return "was changed or moved: the record and its row do not agree"
    if previous and digest(previous, row.body) != row.hash:
        return "was changed: its hash does not follow from the record before"
    return None


def _agrees(row: Row) -> bool:
    try:
        record = rows.record_of(row)
    except ValueError:
        return False
    columns = {"chain": row.chain, "seq": row.seq, **row.columns}
    return all(record.get(name) == value for name, value in columns.items())


def _checkpoints(found: Iterable[Row]) -> dict[str, tuple[int, str]]:
    """The last record that retention removed from each chain. A checkpoint that was changed shows in its own chain."""
    last: dict[str, tuple[int, str]] = {}
    for row in found:
        try:
            sheet = _sheet(row)
        except ValueError:  # pydantic's is one too
            continue
        if sheet.upto > last.get(sheet.of, (0, ""))[0]:
            last[sheet.of] = (sheet.upto, sheet.last)
    return last


def _sheet(row: Row) -> Checkpoint:
    record = rows.record_of(row)
    return Checkpoint.model_validate({name: record.get(name) for name in Checkpoint.model_fields})


def _ends(report: Report, heads: Heads, checkpoints: Heads) -> None:
    """The last record of each chain must be the one that its writer wrote last."""
    broken = {fault.chain for fault in report.faults}
    for chain, (seq, hash_) in heads.items():
        last = report.heads.get(chain) or checkpoints.get(chain) or (0, GENESIS)
        if chain not in broken and last != (seq, hash_):
            what = (
                "is missing at the end" if last[0] < seq else "was added: the chain's head does not know it"
            )
            report.faults.append(Fault(chain, min(last[0], seq) + 1, what))
    for chain in report.heads.keys() - heads.keys() - broken:
        report.faults.append(Fault(chain, report.heads[chain][0], "has no head: its entry was removed"))


def _compare(report: Report, known: Heads, seen: Mapping[str, str], checkpoints: Heads) -> None:
    """What was kept elsewhere must still be there, unless retention has removed it since."""
    broken = {fault.chain for fault in report.faults}
    for chain, (seq, hash_) in known.items():
        removed = checkpoints.get(chain, (0, ""))[0] >= seq
        if chain not in broken and not removed and seen.get(chain) != hash_:
            report.faults.append(Fault(chain, seq, "is not the record that the kept heads tell of"))


def _unfinished(connection: Connection) -> int:
    ends = RECORDS.alias()
    ended = select(ends.c.seq).where(and_(ends.c.decision == RECORDS.c.decision, ends.c.kind == "outcome"))
    wanted = select(func.count()).where(RECORDS.c.kind == "intent", not_(ended.exists()))
    return int(connection.execute(wanted).scalar_one())
