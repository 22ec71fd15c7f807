"""The routing tables that decide in one Router now: the configured one, or the promoted one, a canary, an exploration.

Belongs to the event loop. Knows no database.
"""

import logging
from typing import TYPE_CHECKING

from serve.config import Config
from serve.learning.lots import Drawn, Lots, lots
from serve.learning.placed import Placed, base_of
from serve.routing_table import RoutingTable

if TYPE_CHECKING:
    from serve.learning.trial import Verdict

log = logging.getLogger("pointsman.learning")


class TablesInForce:
    """Follows the configuration and what the database says."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._placed: Placed | None = None
        self._lots: Lots | None = None
        self._drawn: list[tuple[Drawn, Config]] = []
        self.verdict: Verdict | None = None
        self._rebuild()

    @property
    def configured(self) -> RoutingTable | None:
        """The table of the configuration."""
        return self._config.policy.table

    def reconfigure(self, config: Config) -> None:
        """Another configuration is in force. Tables that were learned for another table are not used with it."""
        if _base(config) != _base(self._config):
            self._placed = None
        self._config = config
        self._rebuild()

    def follow(
        self, configured: RoutingTable, placed: Placed | None, verdict: "Verdict | None" = None
    ) -> None:
        """The database says what is in force in place of `configured`, and how the trial stands."""
        self.verdict = verdict
        # What nobody tracks nobody can judge, so there is no trial.
        seen = placed if placed is None or self._config.outcomes.enabled else placed.without_canary()
        if configured != self.configured or seen == self._placed:
            return
        self._placed = seen
        self._rebuild()
        log.info("routing tables in force: %s", ", ".join(f"{d.lot.table.version}" for d, _ in self._drawn))

    def draw(self, unit: str) -> tuple[Drawn, Config] | None:
        """The table of a session or a decision, and the configuration with it; None: the policy reads no table."""
        return self._drawn[self._lots.draw(unit)] if self._lots else None

    def status(self) -> dict[str, str | float | None]:
        """What decides, for /readyz: versions, and the share of the canary."""
        if self._lots is None:
            return {"current": None, "canary": None, "share": 0.0}
        canary = next((lot for lot in self._lots.lots if lot.name == "canary"), None)
        return {
            "current": self._lots.lots[0].table.version,
            "canary": canary.table.version if canary else None,
            "share": canary.share if canary else 0.0,
        }

    def _rebuild(self) -> None:
        config, table = self._config, self._config.policy.table
        if table is None or not config.learning.enabled:
            self._lots, self._drawn = None, []
            return
        tiers = frozenset(lane.tier for lane in config.lanes)
        if config.sweeps.enabled and config.sweeps.reach == "all":
            tiers = frozenset({max(tiers)})  # sweeps try the lower ones at nobody's risk
        self._lots = lots(table, self._placed, config.learning.explore, tiers)
        self._drawn = [
            (Drawn(self._lots, lot), config if lot.table == table else config.with_table(lot.table))
            for lot in self._lots.lots
        ]


def _base(config: Config) -> str | None:
    return base_of(config.policy.table) if config.policy.table else None
