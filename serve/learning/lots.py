"""Which routing table decides a request: drawn by a hash, so that a session keeps its table.

Pure. Every drawing has a known probability; without one nothing could be learned from what came of it.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from serve.learning.placed import Placed
from serve.routing_table import TIERS, RoutingTable, Tier, flat
from serve.signals.readings import ScoutReading, TaskReading

Name = Literal["current", "canary", "explore"]


@dataclass(frozen=True, slots=True)
class Lot:
    """One table and the share of requests that it decides."""

    name: Name
    share: float
    table: RoutingTable


@dataclass(frozen=True, slots=True)
class Lots:
    """All lots; shares sum to 1. `trial`: the change that began the canary, None without one."""

    lots: tuple[Lot, ...]
    trial: int | None

    def draw(self, unit: str) -> int:
        """The place of the lot of a session or a decision."""
        name = f"{self.trial}\0{unit}".encode()
        left = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) / 2**64
        for place, lot in enumerate(self.lots):
            left -= lot.share
            if left < 0:
                return place
        return 0

    def propensity(self, task: TaskReading, scout: ScoutReading) -> tuple[float, ...]:
        """The probability of each of TIERS for such a request."""
        chosen = [lot.table.choose(task, scout).tier for lot in self.lots]
        return tuple(
            sum(lot.share for lot, tier in zip(self.lots, chosen, strict=True) if tier == one)
            for one in TIERS
        )

    def apart(self, task: TaskReading, scout: ScoutReading) -> bool:
        """Whether the canary and the current table choose different tiers for such a request."""
        tiers = {lot.table.choose(task, scout).tier for lot in self.lots if lot.name != "explore"}
        return len(tiers) > 1


def lots(configured: RoutingTable, placed: Placed | None, explore: float, tiers: frozenset[Tier]) -> Lots:
    """The lots of the tables in force. `tiers`: those that lanes have; no other is explored."""
    current = placed.current if placed and placed.current else configured
    canary = placed.canary if placed else None
    tried = placed.share if placed and canary else 0.0
    found = [Lot("current", max(0.0, 1 - tried - explore), current)]
    if canary is not None:
        found.append(Lot("canary", tried, canary))
    if explore:
        found += [Lot("explore", explore / len(tiers), flat(tier, current)) for tier in sorted(tiers)]
    return Lots(tuple(found), placed.seq if placed and canary else None)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawing: from which lots, and which came."""

    lots: Lots
    lot: Lot
