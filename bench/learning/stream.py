"""A stream of prompts with known outcomes, answered as the Router would: draw a table, log, try, promote, roll back.

Runs the code of the product: lots, proposals and verdicts. Costs no model call.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench.learning.replayed import Replayed
from serve.learning.estimate import columns
from serve.learning.log import ANSWERS, Bools, Floats, Ints, Log, Swept, answered, joined, with_sweeps
from serve.learning.propose import Goal, Proposal, careful, propose
from serve.learning.trial import Rules, judge
from serve.routing_table import TIERS, RoutingTable, Tier, flat

MICRO = 1e6
CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Habits:
    """How learning goes about it. Shares are of requests; `window` and `every` are decisions.

    explored  the tiers of which one is drawn where it explores
    sweep     share of requests that a sweep also asks of a lower tier
    share     of a table on trial
    """

    explore: float = 0.06
    explored: tuple[Tier, ...] = TIERS
    sweep: float = 0.1
    share: float = 0.2
    every: int = 250
    window: int = 6000
    batch: int = 50
    goal: Goal = field(default_factory=Goal)
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done to the tables, after so many requests."""

    at: int
    what: str
    version: str
    why: str


@dataclass(slots=True)
class Run:
    """What happened: the tier (index) and the share of the canary in each decision, and the events."""

    tier: Ints
    canary: Bools
    swept: Floats
    events: list[Event]
    tables: list[tuple[int, RoutingTable]]


class Learner:
    """One Router with its tables. `start` and, if given, `canary` are tables at the beginning."""

    def __init__(
        self, start: RoutingTable, habits: Habits, seed: int, canary: tuple[RoutingTable, float] | None = None
    ) -> None:
        self.current, self._habits = start, habits
        self._random = np.random.default_rng(seed)
        self._canary: RoutingTable | None = None
        self._worth = 0.0
        self._logs: list[Log] = []
        self._trial: list[Floats] = []
        self._count = self._since = self._waited = 0
        self._number = 1
        self.run = Run(np.empty(0, int), np.empty(0, bool), np.empty(0), [], [(0, start)])
        if canary is not None:
            self._try(canary[0], canary[1], "given")

    def answer(self, data: Replayed, told: Callable[[int], None] = lambda count: None) -> None:
        """Answer these prompts in order, and learn from them."""
        for start in range(0, len(data), self._habits.batch):
            part = data.taken(np.arange(start, min(start + self._habits.batch, len(data))))
            self._answer(part)
            self._learn()
            told(len(part))

    def _answer(self, data: Replayed) -> None:
        tables = [
            self.current,
            *([self._canary] if self._canary else []),
            *(flat(t, self.current) for t in self._habits.explored),
        ]
        share = self._habits.share if self._canary else 0.0
        explored = self._habits.explore
        shares = [
            1 - share - explored,
            *([share] if self._canary else []),
            *[explored / len(self._habits.explored)] * len(self._habits.explored),
        ]
        known = columns(tables)
        chosen = np.stack([known.chosen(line, data.task, data.gain) for line in range(len(tables))], axis=1)
        propensity = np.zeros((len(data), len(TIERS)))
        for line, part in enumerate(shares):
            np.add.at(propensity, (np.arange(len(data)), chosen[:, line]), part)
        drawn = self._random.choice(len(tables), len(data), p=shares)
        rows = np.arange(len(data))
        tier = chosen[rows, drawn]
        cost = data.cost * MICRO
        log = answered(data.task, data.gain, tier, propensity, data.score[rows, tier], cost[rows, tier])
        lanes = _lanes(data)
        lower = lanes & (np.arange(len(TIERS)) < ANSWERS[_bits(lanes)][rows, tier][:, None])
        share = self._habits.sweep * lower / np.maximum(1, lower.sum(axis=1, keepdims=True))
        asked = _drawn(share, self._random.random(len(data)))
        self._logs.append(
            with_sweeps(log, Swept(_bits(lanes), share, asked, data.score[rows, asked], cost[rows, asked]))
        )
        self._count += len(data)
        self._since += len(data)
        of_canary = (drawn == 1) & (self._canary is not None)
        if self._canary is not None:
            apart = (chosen[:, 0] != chosen[:, 1]) & (drawn <= 1)
            self._waited += len(data)
            outcome = np.stack([of_canary, data.score[rows, tier], cost[rows, tier]], axis=1)
            self._trial.append(outcome[apart])
        extra = np.where(asked >= 0, data.cost[rows, asked], 0.0)
        self.run.swept = np.concatenate([self.run.swept, extra])
        self.run.tier = np.concatenate([self.run.tier, tier])
        self.run.canary = np.concatenate([self.run.canary, of_canary])

    def _learn(self) -> None:
        if self._canary is not None:
            self._judge(self._canary)
        elif self._since >= max(self._habits.every, self._count // 10):
            self._since = 0
            self._propose()

    def _judge(self, canary: RoutingTable) -> None:
        mine, success, cost = np.concatenate(self._trial).T
        verdict = judge(mine == 1, success, cost, self._worth, self._waited, self._habits.rules)
        if verdict.state == "going":
            return
        self._canary, self._since = None, 0
        if verdict.state == "better":
            self.current = canary
            self.run.tables.append((self._count, canary))
        what = "promoted" if verdict.state == "better" else "rolled back"
        self.run.events.append(Event(self._count, what, canary.version, verdict.why))

    def _propose(self) -> None:
        self._logs = _last(self._logs, self._habits.window)
        goal = careful(self._habits.goal, self._number)
        found: Proposal = propose(joined(self._logs), self.current, f"learned-{self._number}", goal)
        if found.table is not None:
            self._number += 1
            self._try(found.table, found.worth, found.why)

    def _try(self, table: RoutingTable, worth: float, why: str) -> None:
        self._canary, self._worth, self._trial, self._waited = table, worth, [], 0
        self.run.events.append(Event(self._count, CANARY, table.version, why))


def _lanes(data: Replayed) -> Bools:
    """The tiers with a lane of their own: another one is answered by the next above, at its price."""
    found: Bools = np.ones((len(data), len(TIERS)), dtype=bool)
    found[:, :-1] = data.cost[:, :-1] != data.cost[:, 1:]
    return found


def _bits(lanes: Bools) -> Ints:
    found: Ints = lanes @ (1 << np.arange(len(TIERS)))
    return found


def _drawn(share: Floats, lot: Floats) -> Ints:
    """For each line the column that `lot`, 0 to 1, falls into; -1 beyond all of them."""
    ends = share.cumsum(axis=1)
    inside = lot[:, None] < ends
    found: Ints = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
    return found


def _last(logs: list[Log], most: int) -> list[Log]:
    kept, count = [], 0
    for log in reversed(logs):
        if count >= most:
            break
        kept.append(log)
        count += len(log)
    return kept[::-1]


def costs(data: Replayed, tier: Ints) -> tuple[Floats, Floats]:
    """Score and cost (USD) of each prompt at the tier that was chosen."""
    rows = np.arange(len(data))
    return data.score[rows, tier], data.cost[rows, tier]
