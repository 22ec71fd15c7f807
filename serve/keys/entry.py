"""A key as it is kept, in the database or in a file: everything about it but the secret."""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from serve.keys.config import LimitsConfig
from serve.keys.rights import Allowance, Key, Rights
from serve.ledger.config import Caps
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity.levels import DOUBTS, LEVELS

log = logging.getLogger("pointsman.keys")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$")]
Money = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]
Scope = Literal["reviewer", "metrics", "admin"]
State = Literal["active", "grace", "expired", "revoked"]


class Grant(BaseModel):
    """What a key allows. The defaults are the least: no overrides, no scopes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lanes: frozenset[str] | None = Field(None, description="None: every lane")
    overrides: bool = Field(False, description="may steer by model name, header and prefix")
    class_floor: Literal["public", "internal", "confidential"] = Field(
        "public", description="its requests are at least of this class"
    )
    exempt: frozenset[str] = Field(
        frozenset(), description="rules of the sensitivity signal that its requests may set aside"
    )
    cache: bool = Field(
        False, description="the same deterministic request may get the same answer from memory"
    )
    scopes: frozenset[Scope] = frozenset()
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    max_parallel: int | None = Field(None, ge=1)
    team: Name | None = Field(None, description="its requests are charged to budgets.teams of this name, too")
    budget_usd_day: Money | None = None
    budget_usd_month: Money | None = Field(
        None, validation_alias=AliasChoices("budget_usd_month", "budget_eur"), description="None: budgets.key"
    )

    @field_validator("exempt")
    @classmethod
    def _are_rules(cls, rules: frozenset[str]) -> frozenset[str]:
        if wrong := sorted(rules - (LEVELS.keys() - DOUBTS)):
            raise ValueError(f"{', '.join(wrong)}: no such rule, or one that nobody may set aside")
        return rules


class KeyEntry(BaseModel):
    """One key at rest. `retired_at`: when it was revoked or replaced; `expires_at`: when it stops to work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{10}$")]
    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    retired_at: AwareDatetime | None = None
    grant: Grant = Grant()

    def state(self, now: float) -> State:
        """How it stands at `now` (Unix seconds)."""
        over = self.expires_at is not None and self.expires_at.timestamp() <= now
        if self.retired_at is None:
            return "expired" if over else "active"
        return "revoked" if over else "grace"

    def key(self, defaults: LimitsConfig) -> Key:
        """The key as a router knows it, with the configured limits where its own are not set."""
        grant = self.grant
        rights = Rights(
            lanes=grant.lanes,
            overrides=grant.overrides,
            floor=Sensitivity.parse(grant.class_floor),
            reviewer="reviewer" in grant.scopes,
            metrics=bool(grant.scopes & {"metrics", "admin"}),
            admin="admin" in grant.scopes,
            exempt=grant.exempt,
            cache=grant.cache,
        )
        allowance = Allowance(
            requests=grant.requests_per_minute or defaults.requests_per_minute,
            tokens=grant.tokens_per_minute or defaults.tokens_per_minute,
            parallel=grant.max_parallel or defaults.max_parallel,
        )
        expires = self.expires_at.timestamp() if self.expires_at else None
        budget = Caps(day=_number(grant.budget_usd_day), month=_number(grant.budget_usd_month))
        return Key(self.id, self.name, self.sha256, rights, allowance, expires, grant.team, budget)


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def usable(raw: Iterable[object]) -> list[KeyEntry]:
    """The entries that can be understood. Another one is left out, so its key is refused; the log says which."""
    found: dict[str, KeyEntry] = {}
    for number, item in enumerate(raw, 1):
        try:
            entry = KeyEntry.model_validate(item)
        except ValidationError as error:
            log.error("key entry %d is not usable: %s", number, _faults(error))
            continue
        if entry.id in found:
            log.error("key entry %d is not usable: the id %s stands twice", number, entry.id)
            continue
        found[entry.id] = entry
    return list(found.values())


def snapshot(entries: Iterable[KeyEntry], defaults: LimitsConfig) -> Mapping[str, Key]:
    """The keys that work now or may work later, by public id."""
    now = time.time()
    return {e.id: e.key(defaults) for e in entries if e.state(now) in ("active", "grace")}


def moment(unix: float) -> datetime:
    """A time in UTC, whole seconds."""
    return datetime.fromtimestamp(int(unix), UTC)


def _faults(error: ValidationError) -> str:
    # Field and fault, never the value: it may be a key that somebody pasted into the wrong place.
    items = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'entry'}: {item['msg']}" for item in items)
