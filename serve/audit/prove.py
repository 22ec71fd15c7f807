"""The evidence about one class of data: what was asked, who answered where, and whether anything left.

It rests on what the routers wrote down; `verify` tells whether that is still what they wrote.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue
from sqlalchemy import Connection, and_, select

from serve.audit import verify
from serve.audit.rows import Record
from serve.audit.tables import RECORDS
from serve.audit.verify import Heads, Report


@dataclass(slots=True)
class Proof:
    """Numbers of requests; `requests` are those of which something could be sent, the `refused` come on top.

    left         handed to a lane that is not on the premises
    unknown      no outcome was written (crash), and the decision had such a lane
    unfinished   no outcome was written, but every lane of the decision was on the premises
    statuses     by how they ended; `answered` by lane and location
    refused      turned away by the policy before anything was sent, by the code of the error
    lost         records that never reached the log; a request without an intent was not let off the premises
    """

    data_class: str
    since: str
    chains: Report
    requests: int = 0
    left: int = 0
    unknown: int = 0
    unfinished: int = 0
    lost: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def holds(self) -> bool:
        """Whether nothing of this class left, and the log that says so is whole."""
        return self.left == 0 and self.unknown == 0 and self.chains.is_good


def prove(connection: Connection | None, since: str, data_class: str, known: Heads | None = None) -> Proof:
    """The evidence since that time (as records write it). Raises SQLAlchemyError."""
    proof = Proof(data_class, since, verify.log(connection, known))
    if connection is None:
        return proof
    done: set[str] = set()
    for intent, outcome in _pairs(connection, since):
        decision = str(intent.get("decision"))
        if intent.get("class") == data_class and decision not in done:
            done.add(decision)
            _count(proof, intent, outcome)
    proof.refused = _refused(connection, since, data_class)
    proof.lost = _lost(connection, since)
    return proof


def as_json(proof: Proof) -> dict[str, JsonValue]:
    """The whole proof; keep it: its heads show later whether the log was rewritten."""
    answered: list[JsonValue] = [
        {"lane": lane, "location": location, "requests": count}
        for (lane, location), count in sorted(proof.answered.items())
    ]
    heads: dict[str, JsonValue] = {
        chain: {"seq": seq, "hash": hash_} for chain, (seq, hash_) in sorted(proof.chains.heads.items())
    }
    return {
        "holds": proof.holds,
        "class": proof.data_class,
        "since": proof.since,
        "requests": proof.requests,
        "cloud_egress": proof.left,
        "unknown": proof.unknown,
        "unfinished": proof.unfinished,
        "refused": dict(sorted(proof.refused.items())),
        "lost": proof.lost,
        "statuses": dict(proof.statuses),
        "answered": answered,
        "verified": proof.chains.is_good,
        "records": proof.chains.records,
        "faults": [
            {"chain": fault.chain, "seq": fault.seq, "what": fault.what} for fault in proof.chains.faults
        ],
        "heads": heads,
    }


def _count(proof: Proof, intent: Record, outcome: Record | None) -> None:
    proof.requests += 1
    if outcome is None:
        if intent.get("off_premises") is False:
            proof.unfinished += 1
        else:
            proof.unknown += 1
        return
    proof.statuses[str(outcome.get("status"))] += 1
    # Only a plain False is a no.
    proof.left += outcome.get("cloud_egress") is not False
    answered = outcome.get("answered")
    if isinstance(answered, dict):
        proof.answered[str(answered.get("lane")), str(answered.get("location"))] += 1


def _pairs(connection: Connection, since: str) -> Iterator[tuple[Record, Record | None]]:
    ends = RECORDS.alias()
    joined = RECORDS.outerjoin(ends, and_(ends.c.decision == RECORDS.c.decision, ends.c.kind == "outcome"))
    wanted = select(RECORDS.c.body, ends.c.body.label("end")).select_from(joined)
    wanted = wanted.where(RECORDS.c.kind == "intent", RECORDS.c.at >= since)
    for row in connection.execution_options(yield_per=1_000).execute(wanted):
        yield _record(row.body), _record(row.end) if row.end is not None else None


def _refused(connection: Connection, since: str, data_class: str) -> Counter[str]:
    found = {
        str(record.get("decision")): str(record.get("status"))
        for record in _of_kind(connection, "refused", since)
        if record.get("class") == data_class
    }
    return Counter(found.values())


def _lost(connection: Connection, since: str) -> int:
    counts = (record.get("lost") for record in _of_kind(connection, "gap", since))
    return sum(count for count in counts if isinstance(count, int))


def _of_kind(connection: Connection, kind: str, since: str) -> Iterator[Record]:
    wanted = select(RECORDS.c.body).where(RECORDS.c.kind == kind, RECORDS.c.at >= since)
    for body in connection.execution_options(yield_per=1_000).execute(wanted).scalars():
        yield _record(body)


def _record(body: str) -> Record:
    """The record, an empty one where somebody made it unreadable: `verify` names it."""
    try:
        record = json.loads(body)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
