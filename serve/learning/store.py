"""Routing tables in the state database: kept for good, put in force, tried, taken back.

Every change is one row that says who, when, why and on what evidence; the last row says what is in force. Every
method blocks, and raises SQLAlchemyError; `base` is `placed.base_of` the configured table, times are Unix ms.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import JsonValue
from sqlalchemy import Connection, Engine, Row, Select, case, func, insert, select
from sqlalchemy.exc import IntegrityError

from serve import state
from serve.errors import ConfigError
from serve.learning.log import TASKS, Floats, Log, Swept, answered, with_sweeps
from serve.learning.placed import Placed
from serve.learning.tables import CHANGES, TABLES, VERSIONS
from serve.outcomes import tables as outcomes
from serve.outcomes.queries import LEFT, success
from serve.routing_table import RoutingTable
from serve.sweeps import tables as sweeps

What = Literal["canary", "promoted", "rolled_back"]
MOST_JUDGED = 20_000
"""Outcomes of one trial that are read at most."""

_v, _c = VERSIONS.c, CHANGES.c
_d, _f, _k = outcomes.DECISIONS.c, outcomes.FEEDBACK.c, outcomes.CHOICES.c
_s, _r = outcomes.SAMPLED.c, sweeps.RESULTS.c


class TableRefused(ConfigError):
    """A change that cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Version:
    """One table that is kept."""

    table: RoutingTable
    at: int
    who: str
    why: str
    evidence: JsonValue


@dataclass(frozen=True, slots=True)
class Change:
    """One change of what is in force; `current` None is the configured table."""

    seq: int
    at: int
    what: str
    who: str
    why: str
    evidence: JsonValue
    current: str | None
    canary: str | None
    share: float
    worth: float


NOTHING = Change(0, 0, "configured", "", "", None, None, None, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Told:
    """Why something changes: who says so, when, in which words, on what evidence."""

    who: str
    at: int
    why: str
    evidence: JsonValue = None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Outcomes of a trial on which the tables disagree, oldest first; `waited` counts the others too."""

    canary: Floats
    success: Floats
    cost: Floats
    waited: int


class TableStore:
    """One database. Opening it makes the tables that are missing. Raises ConfigError, OSError, SQLAlchemyError."""

    def __init__(self, url: str | None) -> None:
        self._engine = state.open_database(url)
        try:
            state.create(self._engine, TABLES)
            state.create(self._engine, outcomes.TABLES)
            state.create(self._engine, sweeps.TABLES)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def engine(self) -> Engine:
        """For who keeps other things of learning there."""
        return self._engine

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def keep(self, base: str, table: RoutingTable, told: Told) -> None:
        """Keep a table for good. Raises TableRefused where its version already names another one."""
        with self._engine.begin() as connection:
            _keep(connection, base, table, told)

    def versions(self, base: str) -> list[Version]:
        """Every table that is kept for this base, the newest first."""
        wanted = select(VERSIONS).where(_v.base == base).order_by(_v.at.desc(), _v.version.desc())
        with self._reading() as connection:
            return [_version(row) for row in connection.execute(wanted)]

    def version(self, base: str, name: str) -> Version:
        """The table called `name`. Raises TableRefused where there is none."""
        with self._reading() as connection:
            return _find(connection, base, name)

    def changes(self, base: str) -> list[Change]:
        """Every change, the newest first."""
        with self._reading() as connection:
            return [_change(row) for row in connection.execute(_newest(base))]

    def placed(self, base: str) -> Placed | None:
        """What is in force; None: nothing was ever changed, so the configured table is."""
        with self._reading() as connection:
            row = connection.execute(_newest(base).limit(1)).first()
            if row is None:
                return None
            current = None if row.current is None else _find(connection, base, row.current).table
            canary = None if row.canary is None else _find(connection, base, row.canary).table
        return Placed(row.seq, current, canary, row.share, row.worth)

    def put(self, base: str, change: Change, after: int, new: RoutingTable | None = None) -> Change:
        """Write down a change of the state that change number `after` left (0: none), and what it became.

        `new`: a table that is kept with the change, or not at all. Raises TableRefused when somebody else has changed
        the state since, a table is unknown, or the version of `new` names another one.
        """
        try:
            with self._engine.begin() as connection:
                # First of all: a change that is committed from here on takes this number, or shows as the last one.
                seq = 1 + (connection.execute(select(func.max(_c.seq))).scalar_one() or 0)
                last = connection.execute(_newest(base).limit(1)).first()
                if (0 if last is None else last.seq) != after:
                    raise TableRefused("somebody else has just changed the tables: look again, then repeat")
                if new is not None:
                    _keep(connection, base, new, Told(change.who, change.at, change.why, change.evidence))
                for name in (change.current, change.canary):
                    if name is not None:
                        _find(connection, base, name)
                connection.execute(insert(CHANGES).values(_values(base, change, seq)))
        except IntegrityError:
            raise TableRefused("somebody else is just changing the tables: look again, then repeat") from None
        return Change(**{name: getattr(change, name) for name in change.__slots__} | {"seq": seq})

    def outcomes(self, trial: int) -> Outcomes:
        """What came of the trial that change number `trial` began, so far."""
        known = (_k.trial == trial) & _k.lot.in_(("current", "canary")) & _KNOWN
        wanted = (
            select(_k.lot, success().label("success"), _d.cost)
            .select_from(_JOINED)
            .where(known, _k.apart)
            .order_by(_k.at, _k.decision_id)
            .limit(MOST_JUDGED)
        )
        with self._reading() as connection:
            waited = connection.execute(select(func.count()).select_from(_JOINED).where(known)).scalar_one()
            rows = connection.execute(wanted).all()
        values = np.array([(lot == "canary", won, cost) for lot, won, cost in rows], dtype=np.float64)
        canary, won, cost = values.reshape(-1, 3).T
        return Outcomes(canary, won, cost, int(waited))

    def log(self, since: int) -> Log:
        """Every decision of a table since then whose outcome is known, oldest first, with what sweeps know of it."""
        wanted = (
            select(_k.task, *_COLUMNS)
            .select_from(_SWEPT)
            .where(_k.at >= since, _KNOWN, _k.task.in_(TASKS))
            .order_by(_k.at, _k.decision_id)
        )
        with self._reading() as connection:
            rows = connection.execute(wanted).all()
        places = {name: place for place, name in enumerate(TASKS)}
        task = np.array([places[row.task] for row in rows], dtype=np.int64)
        values = np.array([tuple(row)[1:] for row in rows], dtype=np.float64).reshape(-1, len(_COLUMNS))
        gain, tier, p1, p2, p3, won, cost, lanes, s1, s2, asked, won_below, cost_below = values.T
        log = answered(task, gain, tier.astype(np.int64) - 1, np.stack([p1, p2, p3], axis=1), won, cost)
        share = np.stack([s1, s2, np.zeros_like(s1)], axis=1)  # nobody sweeps the highest tier
        return with_sweeps(
            log, Swept(lanes.astype(np.int64), share, asked.astype(np.int64) - 1, won_below, cost_below)
        )

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(**state.READ_ONLY)


_JOINED = outcomes.CHOICES.join(outcomes.DECISIONS, _k.decision_id == _d.decision_id).outerjoin(
    outcomes.FEEDBACK, _d.decision_id == _f.decision_id
)
_SWEPT = _JOINED.outerjoin(outcomes.SAMPLED, _s.decision_id == _k.decision_id).outerjoin(
    sweeps.RESULTS, (_r.decision_id == _s.decision_id) & _r.good.is_not(None)
)
# A judge and the validators say whether an answer is good; agreement only says that it is as good as the accepted one.
_WON_BELOW = case((_r.good.is_not(True), 0), (_r.score.is_not(None), 1), else_=success())
_COLUMNS = (
    _k.gain,
    _k.tier,
    _k.p1,
    _k.p2,
    _k.p3,
    success().label("success"),
    _d.cost,
    func.coalesce(_s.lanes, 0).label("lanes"),
    func.coalesce(_s.s1, 0.0).label("s1"),
    func.coalesce(_s.s2, 0.0).label("s2"),
    func.coalesce(_r.to_tier, 0).label("asked"),
    _WON_BELOW.label("won_below"),
    func.coalesce(_r.cost, 0).label("cost_below"),
)
# Who left before the end said nothing of the answer.
_KNOWN = _f.success.is_not(None) | _d.error.is_(None) | (_d.error != LEFT)


def _newest(base: str) -> Select[tuple[Any, ...]]:
    return select(CHANGES).where(_c.base == base).order_by(_c.seq.desc())


def _keep(connection: Connection, base: str, table: RoutingTable, told: Told) -> None:
    document = table.model_dump_json()
    values = {
        "version": table.version,
        "base": base,
        "at": told.at,
        "who": told.who,
        "why": told.why,
        "document": document,
        "evidence": json.dumps(told.evidence),
    }
    mine = (_v.version == table.version) & (_v.base == base)
    there = connection.execute(select(_v.document).where(mine)).scalar_one_or_none()
    if there is None:
        connection.execute(insert(VERSIONS).values(values))
    elif there != document:
        raise TableRefused(
            f"version {table.version} is kept already and says something else: give the table another version"
        )


def _find(connection: Connection, base: str, name: str) -> Version:
    row = connection.execute(select(VERSIONS).where(_v.version == name, _v.base == base)).first()
    if row is None:
        raise TableRefused(
            f"no table called {name} is kept for this configuration: see `pointsman tables list`"
        )
    return _version(row)


def _version(row: Row[Any]) -> Version:
    table = RoutingTable.model_validate_json(row.document)
    return Version(table, row.at, row.who, row.why, json.loads(row.evidence))


def _change(row: Row[Any]) -> Change:
    return Change(
        row.seq,
        row.at,
        row.what,
        row.who,
        row.why,
        json.loads(row.evidence),
        row.current,
        row.canary,
        row.share,
        row.worth,
    )


def _values(base: str, change: Change, seq: int) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(change, name) for name in change.__slots__}
    return values | {"base": base, "seq": seq, "evidence": json.dumps(change.evidence)}
