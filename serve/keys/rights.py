"""What a caller may do: the frozen values that the signals, the policy and the edge read."""

from dataclasses import dataclass

from serve.ledger.config import NO_CAPS, Caps
from serve.signals.readings import Sensitivity


@dataclass(frozen=True, slots=True)
class Rights:
    """lanes: None is all of them. floor: the lowest class its requests have; it never lowers a detected one.

    exempt: rules of the sensitivity signal that a request may set aside, by name, when it asks for it.
    cache: the same request may be answered from memory.
    """

    lanes: frozenset[str] | None = None
    overrides: bool = True
    floor: Sensitivity = Sensitivity.PUBLIC
    reviewer: bool = True
    metrics: bool = True
    admin: bool = False
    exempt: frozenset[str] = frozenset()
    cache: bool = False

    def may_use(self, lane: str) -> bool:
        """Whether this lane may answer."""
        return self.lanes is None or lane in self.lanes


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a key may use; None is no limit. Rates are per moving minute."""

    requests: int | None = None
    tokens: int | None = None
    parallel: int | None = None

    def shared_by(self, routers: int) -> "Allowance":
        """The part of one router; at least 1, so that a small limit does not become a closed door."""
        return Allowance(*(_part(n, routers) for n in (self.requests, self.tokens, self.parallel)))


def _part(limit: int | None, routers: int) -> int | None:
    return None if limit is None else max(1, limit // routers)


@dataclass(frozen=True, slots=True)
class Key:
    """One key as a router knows it. `expires` is in Unix seconds; None is never. `budget`: limits of its own."""

    id: str
    name: str
    sha256: str
    rights: Rights
    allowance: Allowance
    expires: float | None = None
    team: str | None = None
    budget: Caps = NO_CAPS


# In open mode everybody is this caller: everything is allowed but administration.
ANONYMOUS = Key("open", "anonymous", "", Rights(), Allowance())
