"""What a record of the log holds: ids, codes and numbers. No field takes a text that a client wrote.

intent      before anything is sent: class, rules that fired, the lanes in order, policy version
outcome     when the request has ended, however it ended: lanes tried, who answered, what left, tokens, cost
opened      the first record of each chain
gap         records that were never written
checkpoint  old records of a chain were removed up to here
erased      a key's pseudonym can no longer be led back to the key
and the EVENTS that other parts note about a decision
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from serve.config import Location

_CODE = r"^[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,127}$"
Code = Annotated[str, Field(pattern=_CODE)]
Pseudonym = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ChainId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0)]
Class = Literal["public", "internal", "confidential"]

EVENTS = frozenset(
    {
        "allowance_used",
        "budget_refused",
        "ledger_failing",
        "review_approved",
        "review_expired",
        "review_held",
        "review_rejected",
    }
)
EVENT_FIELDS = frozenset(
    {
        "allowance",
        "class",
        "code",
        "cost_microusd",
        "count",
        "key",
        "lane",
        "location",
        "review",
        "rule",
        "tokens",
    }
)
NOBODY = "-"
"""The decision of a record that belongs to none."""


class Sheet(BaseModel):
    """Every field is an id, a code or a number; there is no other."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Place(Sheet):
    """A lane, and where it is."""

    lane: Code
    location: Location


class Tried(Place):
    """A lane that was asked: `ok`, `repaired`, `cancelled`, `asked` (nobody saw its end) or why it failed."""

    outcome: Code
    ms: Count


class Answered(Place):
    """Who answered: the model and its revision as configured, `none` where nothing pins one."""

    model: Code
    revision: Code


class Intent(Sheet):
    """Written before a byte may leave. `off_premises`: whether any lane of `chain` is not on the premises."""

    key: Pseudonym | None = Field(None, description="keyed HMAC of the key's id")
    data_class: Class = Field(alias="class")
    rules: list[Code] = Field(description="detector:rule of what fired, never the value")
    lanes: list[Place] = Field(description="who may answer, in order")
    off_premises: bool
    reasons: list[Code]
    policy_version: Sha256
    input_tokens: Count


class Outcome(Sheet):
    """Written when the request has ended."""

    status: Code = Field(description="ok, left (the client went), or the code of the error")
    cloud_egress: bool = Field(description="bytes were handed to a lane that is not on the premises")
    tried: list[Tried]
    answered: Answered | None
    reasons: list[Code] = Field(
        description="why the first lane was not the one that was wanted, and the like"
    )
    fallbacks: list[Code] = Field(description="why a lane was left for the next one, in order")
    escalations: list[Code]
    tokens_in: Count | None
    tokens_out: Count | None
    cost_microusd: Count | None
    latency_ms: Count
    review: Code | None = Field(description="the rule for which a person must see the answer first")


class Refused(Sheet):
    """Nobody may, can or could answer: written instead of an intent, and nothing follows."""

    key: Pseudonym | None = Field(None, description="keyed HMAC of the key's id")
    data_class: Class = Field(alias="class")
    rules: list[Code] = Field(description="detector:rule of what fired, never the value")
    status: Code = Field(description="the code of the error")
    policy_version: Sha256
    input_tokens: Count


class Opened(Sheet):
    """A writer began a chain: it started, or found its way back after a failure."""

    version: Code


class Gap(Sheet):
    """So many records were never written, because there was no room to keep them."""

    lost: Count


class Checkpoint(Sheet):
    """Records of the chain `of` up to `upto` were removed by retention; `last` is the hash of the last of them."""

    of: ChainId
    upto: Count
    last: Sha256
    removed: Count


class Erased(Sheet):
    """From now on nobody can tell whose records have this pseudonym."""

    pseudonym: Pseudonym


SHEETS: Mapping[str, type[Sheet]] = {
    "intent": Intent,
    "outcome": Outcome,
    "refused": Refused,
    "opened": Opened,
    "gap": Gap,
    "checkpoint": Checkpoint,
    "erased": Erased,
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A record that has no place in a chain yet. `key` is an id in the clear: the writer makes it a pseudonym."""

    kind: str
    decision: str
    fields: Mapping[str, JsonValue]
    key: str | None = None
    at: str = field(default_factory=lambda: stamp(datetime.now(UTC)))

    @classmethod
    def of(cls, sheet: Sheet, decision: str = NOBODY, key: str | None = None) -> "Draft":
        """The draft of one sheet."""
        kind = type(sheet).__name__.lower()
        return cls(kind, decision, sheet.model_dump(mode="json"), key)


def event(kind: str, decision: str, fields: Mapping[str, JsonValue]) -> Draft:
    """An event about a decision. Raises ValueError for a kind, a field or a value that the log does not take."""
    if kind not in EVENTS:
        raise ValueError(f"the audit log knows no event {kind!r}")
    for name, value in fields.items():
        if name not in EVENT_FIELDS:
            raise ValueError(f"the audit log has no field {name!r} for events")
        if not isinstance(value, bool | int | None) and not (
            isinstance(value, str) and re.match(_CODE, value)
        ):
            raise ValueError(f"{name}: the audit log takes ids, codes and whole numbers only")
    key = fields.get("key")
    rest = {name: value for name, value in fields.items() if name != "key"}
    return Draft(kind, code(decision), rest, str(key) if key is not None else None)


def code(text: str) -> str:
    """`text` if it is a code, else `other`: a name that somebody configured must not stop the log."""
    return text if re.match(_CODE, text) else "other"


def stamp(at: datetime) -> str:
    """A time as it stands in records: UTC, microseconds; later times sort behind earlier ones."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
