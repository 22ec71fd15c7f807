"""What people and trials do with routing tables: try, promote, roll back. Each is one change in the store. Blocks."""

from dataclasses import asdict, replace
from itertools import count

from serve.learning.placed import Placed, base_of
from serve.learning.propose import Goal, Proposal, careful, propose
from serve.learning.store import NOTHING, Change, TableRefused, TableStore, Told, What
from serve.learning.trial import Verdict, judge
from serve.routing_table import RoutingTable

TRIAL = "trial"
"""Who ends a trial by its verdict."""


class Tables:
    """The tables that stand in for one configured table."""

    def __init__(self, store: TableStore, configured: RoutingTable) -> None:
        self._store, self._configured = store, configured
        self._base = base_of(configured)

    def placed(self) -> Placed | None:
        """What is in force; None: nothing was ever changed."""
        return self._store.placed(self._base)

    def last(self) -> Change:
        """The last change; NOTHING where there was none."""
        return next(iter(self._store.changes(self._base)), NOTHING)

    def attempt(self, version: str, share: float, worth: float, told: Told) -> Change:
        """Let a table that is kept decide `share` of the requests on trial. Raises TableRefused."""
        return self._try(version, None, share, worth, told)

    def promote(self, version: str, told: Told) -> Change:
        """Put a table in force for all requests. Raises TableRefused."""
        last = self.last()
        self._require_other(version, self._store.version(self._base, version).table)
        return self._put(last, "promoted", told, current=version, canary=None, share=0.0)

    def roll_back(self, told: Told) -> Change:
        """End the trial; without one, put the table before the present one in force again. Raises TableRefused."""
        last = self.last()
        if last.canary is not None:
            return self._put(last, "rolled_back", told, canary=None, share=0.0)
        if last.current is None:
            raise TableRefused("the configured table is in force: there is nothing to roll back")
        return self._put(last, "rolled_back", told, current=self._before(last.current), share=0.0)

    def search(self, since: int, goal: Goal) -> Proposal:
        """Look for a better table in what was logged since then, and keep nothing."""
        looks = 1 + sum(one.what == "canary" for one in self._store.changes(self._base))
        # A name may be taken without a trial, by a person or by an older Pointsman: it stays with its table.
        taken = {one.table.version for one in self._store.versions(self._base)}
        name = next(name for number in count(looks) if (name := f"learned-{number}") not in taken)
        return propose(self._store.log(since), self.current(), name, careful(goal, looks))

    def put_on_trial(self, found: Proposal, share: float, told: Told) -> Change:
        """Keep the table that was found, and let it decide `share` of the requests on trial: both or neither.

        Raises TableRefused.
        """
        assert found.table is not None
        return self._try(found.table.version, found.table, share, found.worth, told)

    def current(self) -> RoutingTable:
        """The table in force."""
        name = self.last().current
        if name is None:
            return self._configured
        return self._store.version(self._base, name).table

    def settle(self, at: int) -> Verdict | None:
        """Judge the trial that runs, and end it when its verdict says so. None: there is none."""
        last = self.last()
        if last.canary is None:
            return None
        seen = self._store.outcomes(last.seq)
        verdict = judge(seen.canary > 0, seen.success, seen.cost, last.worth, seen.waited)
        told = Told(TRIAL, at, verdict.why, {"verdict": asdict(verdict), "share": last.share})
        try:
            if verdict.state == "better":
                self.promote(last.canary, told)
            elif verdict.state == "worse":
                self.roll_back(told)
        except TableRefused:
            return None  # another Router, or a person, was faster
        return verdict

    def _try(self, version: str, new: RoutingTable | None, share: float, worth: float, told: Told) -> Change:
        last = self.last()
        if last.canary is not None:
            raise TableRefused(f"{last.canary} is on trial: promote it or roll it back first")
        self._require_other(version, new or self._store.version(self._base, version).table)
        return self._put(last, "canary", told, new, canary=version, share=share, worth=worth)

    def _require_other(self, version: str, table: RoutingTable) -> None:
        """By any name: a trial of a table against itself ends like a coin flip."""
        if table.tasks == self.current().tasks:
            raise TableRefused(f"{version} is in force already")

    def _before(self, version: str) -> str | None:
        """What was in force when this table was put there for the first time."""
        changes = self._store.changes(self._base)
        first = next(one for one in reversed(changes) if one.current == version)
        return next((one.current for one in changes if one.seq < first.seq), None)

    def _put(
        self,
        last: Change,
        what: What,
        told: Told,
        new: RoutingTable | None = None,
        **values: str | float | None,
    ) -> Change:
        change = replace(last, what=what, who=told.who, at=told.at, why=told.why, evidence=told.evidence)
        return self._store.put(self._base, replace(change, **values), last.seq, new)  # type: ignore[arg-type]
