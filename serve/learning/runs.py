"""Runs of learning that nobody asked for: when one is due, who makes it, and what came of it.

A run belongs to a period, a day or a week of UTC, and a period has one run whatever the clocks of its Routers say.
Every function blocks, and raises SQLAlchemyError; times in Unix milliseconds.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from serve import state
from serve.learning.config import LearningConfig
from serve.learning.tables import RUNS
from serve.sweeps.config import SweepsConfig

Outcome = Literal["trial", "nothing", "busy", "failed"]
"""A table went on trial; none was proven better; another one is on trial; it could not be made."""
Claim = Literal["mine", "taken", "done"]
LEASE_MS = 1_800_000
"""Whoever has not ended a run by then has died; and so long after a failed one it is tried again."""

_c = RUNS.c


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `ended` and `outcome` None: it is being made."""

    period: str
    at: int
    who: str
    ended: int | None
    outcome: str | None
    why: str | None
    version: str | None


def due(learning: LearningConfig, sweeps: SweepsConfig, now: float) -> str | None:
    """The period whose run is due at `now` (Unix seconds), once its sweep has ended; None: there are no runs."""
    every = learning.every or ("week" if sweeps.enabled else "never")
    if every == "never" or not learning.enabled:
        return None
    waits_s = sweeps.open_hours * 3600 if sweeps.enabled and sweeps.every == every else 0.0
    at = datetime.fromtimestamp(now - waits_s, UTC)
    return at.strftime("%G-W%V" if every == "week" else "%Y-%m-%d")


def claim(engine: Engine, base: str, period: str, who: str, now: int) -> Claim:
    """Take the run of a period, for as long as LEASE_MS, if nobody else has it."""
    mine = (_c.base == base) & (_c.period == period)
    begun = {"at": now, "who": who, "ended": None, "outcome": None, "why": None, "version": None}
    try:
        with engine.begin() as connection:
            row = connection.execute(select(RUNS).where(mine)).first()
            if row is None:
                connection.execute(insert(RUNS).values(base=base, period=period, **begun))
                return "mine"
            if row.outcome not in (None, "failed"):
                return "done"
            if abs(now - row.at) < LEASE_MS:
                return "taken"
            taken = update(RUNS).where(mine, _c.at == row.at, _c.who == row.who).values(begun)
            return "mine" if connection.execute(taken).rowcount == 1 else "taken"
    except IntegrityError:
        return "taken"


def end(
    engine: Engine,
    base: str,
    period: str,
    who: str,
    now: int,
    outcome: Outcome,
    why: str,
    version: str | None,
) -> None:
    """Write down what came of a run that `who` has; nothing where somebody else has taken it since."""
    mine = (_c.base == base) & (_c.period == period) & (_c.who == who) & _c.ended.is_(None)
    with engine.begin() as connection:
        connection.execute(
            update(RUNS).where(mine).values(ended=now, outcome=outcome, why=why, version=version)
        )


def last(engine: Engine, base: str, most: int = 10) -> list[Run]:
    """The newest runs first."""
    wanted = select(RUNS).where(_c.base == base).order_by(_c.at.desc()).limit(most)
    with engine.connect().execution_options(**state.READ_ONLY) as connection:
        return [
            Run(row.period, row.at, row.who, row.ended, row.outcome, row.why, row.version)
            for row in connection.execute(wanted)
        ]
