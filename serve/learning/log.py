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
    """Decisions that a routing table made, oldest first. The last four have a column for each of TIERS.

    task     index in TASKS of the row that decided
    gain     likely gain, 0 to 1
    seen     the outcome of this tier is known: it answered, or a sweep asked it too
    chance   how likely it was that it would be known, 0 to 1
    success  0 to 1 where it was seen, else 0
    cost     micro-dollars of all attempts where it was seen, else 0
    """

    task: Ints
    gain: Floats
    seen: Bools
    chance: Floats
    success: Floats
    cost: Floats

    def __len__(self) -> int:
        return len(self.gain)

    def part(self, which: "Bools | Ints | slice") -> "Log":
        """The same of some decisions."""
        return Log(*(getattr(self, name)[which] for name in NAMES))


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
    )
