"""Logged decisions as columns: what was known, which tier was chosen with which probability, and how it ended.

Arithmetic on arrays only; knows no database.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from serve.routing_table import TIERS
from serve.signals.readings import TaskType

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

TASKS: tuple[TaskType, ...] = get_args(TaskType)


@dataclass(frozen=True, slots=True)
class Log:
    """Decisions that a routing table made, oldest first. From `seen` to `cost` there is a column for each of TIERS.

    task     index in TASKS of the row that decided
    gain     likely gain, 0 to 1
    seen     the outcome of this tier is known: it answered, or a sweep asked it too
    chance   how likely it was that it would be known, 0 to 1
    success  0 to 1 where it was seen, else 0
    cost     micro-dollars of all attempts where it was seen, else 0
    lanes    which tiers had a lane for it, a bit for each of TIERS, the lowest first; 0: nobody knows
    """

    task: Ints
    gain: Floats
    seen: Bools
    chance: Floats
    success: Floats
    cost: Floats
    lanes: Ints

    def __len__(self) -> int:
        return len(self.gain)

    def part(self, which: "Bools | Ints | slice") -> "Log":
        """The same of some decisions."""
        return Log(*(getattr(self, name)[which] for name in NAMES))


@dataclass(frozen=True, slots=True)
class Swept:
    """What sweeps know of the same decisions.

    lanes    which tiers had a lane for it, as in a Log; 0 where no sweep was open
    share    how likely the lane of each of TIERS was to be asked too, 0 to 1: a column for each
    asked    index of the tier that was asked and whose answer says something, -1 where none
    success  0 to 1 where one was asked
    cost     micro-dollars of its answer
    """

    lanes: Ints
    share: Floats
    asked: Ints
    success: Floats
    cost: Floats


NAMES = tuple(Log.__dataclass_fields__)


def joined(logs: list[Log]) -> Log:
    """One after the other."""
    return Log(*(np.concatenate([getattr(log, name) for log in logs]) for name in NAMES))


def answered(task: Ints, gain: Floats, tier: Ints, chance: Floats, success: Floats, cost: Floats) -> Log:
    """A log in which nothing but the chosen tier is known. `tier`: its index in TIERS."""
    seen = np.zeros((len(gain), len(TIERS)), dtype=bool)
    seen[np.arange(len(gain)), tier] = True
    return Log(
        task,
        gain,
        seen,
        chance,
        np.where(seen, success[:, None], 0.0),
        np.where(seen, cost[:, None], 0.0),
        np.zeros(len(gain), dtype=np.int64),
    )


def _who_answers() -> Ints:
    """For each set of lanes who answers each tier: the next stronger one that has a lane, else the strongest."""
    found = np.tile(np.arange(len(TIERS)), (1 << len(TIERS), 1))
    for lanes in range(1, 1 << len(TIERS)):
        there = [tier for tier in range(len(TIERS)) if lanes >> tier & 1]
        found[lanes] = [next((one for one in there if one >= tier), there[-1]) for tier in range(len(TIERS))]
    return found


ANSWERS = _who_answers()


def with_sweeps(log: Log, swept: Swept) -> Log:
    """The same log with the outcomes of lower tiers, where a sweep asked them.

    Of a tier without a lane all is known that is known of the lane that would have answered. The chance of an outcome
    is the share of its draw, times how many draws of that lane came to something: one that is busy or down answers no
    sweep, whatever the question.
    """
    rows, answers = np.arange(len(log)), ANSWERS[swept.lanes]
    chosen = log.seen.argmax(axis=1)
    own = answers[rows, chosen][:, None]
    open_to = (swept.lanes > 0)[:, None] & (answers < own)
    lanes_share = np.where(np.arange(len(TIERS)) < own, swept.share, 0.0)
    asked = np.where((swept.lanes > 0) & (swept.asked < own[:, 0]), swept.asked, -1)
    came = np.bincount(asked[asked >= 0], minlength=len(TIERS)) / np.maximum(lanes_share.sum(axis=0), 1e-9)
    share = np.where(open_to, np.take_along_axis(lanes_share * np.minimum(came, 1.0), answers, axis=1), 0.0)
    alike = answers[:, :, None] == answers[:, None, :]
    chance = np.minimum(1.0, (log.chance[:, None, :] * alike).sum(axis=2) + share)
    below = open_to & (answers == asked[:, None])
    seen = (answers == own) | below
    success = np.where(below, swept.success[:, None], log.success.sum(axis=1, keepdims=True))
    cost = np.where(below, swept.cost[:, None], log.cost.sum(axis=1, keepdims=True))
    return Log(
        log.task,
        log.gain,
        seen,
        chance,
        np.where(seen, success, 0.0),
        np.where(seen, cost, 0.0),
        swept.lanes,
    )
