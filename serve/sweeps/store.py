"""The results of sweeps in a database. Every function blocks, and raises SQLAlchemyError."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine, case, func, insert, inspect, select

from serve import state
from serve.ledger.tables import ATTEMPTS
from serve.sweeps.config import JUDGE, SWEEPS, payer
from serve.sweeps.result import Result
from serve.sweeps.tables import RESULTS, TABLES

_r = RESULTS.c


@dataclass(frozen=True, slots=True)
class Cell:
    """One task type that one tier answered and the tier below tried.

    samples    calls of the tier below; `judged` of them gave something to judge, `good` of those would have done
    agreement  the mean, 0 to 1; None where there was no answer
    """

    task: str
    from_tier: int
    to_tier: int
    samples: int
    judged: int
    good: int
    agreement: float | None
    cost_usd: float


def prepare(engine: Engine) -> None:
    """Make the table where it is missing."""
    state.create(engine, TABLES)


def taken(engine: Engine, sweep: str, task: str, tiers: tuple[int, int]) -> int:
    """Samples that this sweep has of a task type and pair of tiers."""
    state.create(engine, TABLES)
    mine = (_r.sweep == sweep) & (_r.task == task) & (_r.from_tier == tiers[0]) & (_r.to_tier == tiers[1])
    with engine.connect().execution_options(**state.READ_ONLY) as connection:
        return connection.execute(select(func.count()).select_from(RESULTS).where(mine)).scalar_one()


def put(engine: Engine, result: Result) -> None:
    """Keep one result. Those that are old are removed with the decisions."""
    with engine.begin() as connection:
        connection.execute(insert(RESULTS), asdict(result))


def cells(connection: Connection, since: int) -> list[Cell]:
    """By task type and pair of tiers, those with most samples first. `since`: Unix milliseconds."""
    if not inspect(connection).has_table(RESULTS.name):
        return []
    samples = func.count()
    wanted = (
        select(
            _r.task,
            _r.from_tier,
            _r.to_tier,
            samples.label("samples"),
            func.count(_r.good).label("judged"),
            func.coalesce(func.sum(case((_r.good.is_(True), 1), else_=0)), 0).label("good"),
            func.avg(_r.agreement).label("agreement"),
            func.sum(_r.cost + _r.judge_cost).label("cost"),
        )
        .where(_r.at >= since)
        .group_by(_r.task, _r.from_tier, _r.to_tier)
        .order_by(samples.desc(), _r.task, _r.from_tier.desc())
    )
    return [
        Cell(
            task=row.task,
            from_tier=row.from_tier,
            to_tier=row.to_tier,
            samples=row.samples,
            judged=row.judged,
            good=int(row.good),
            agreement=None if row.agreement is None else float(row.agreement),
            cost_usd=int(row.cost) / 1e6,
        )
        for row in connection.execute(wanted)
    ]


def spent_usd(connection: Connection, since: int) -> float:
    """US dollars of all shadow calls and of the judge."""
    if not inspect(connection).has_table(ATTEMPTS.name):
        return 0.0
    mine = ATTEMPTS.c.payer.in_([payer(SWEEPS), payer(JUDGE)]) & (ATTEMPTS.c.at >= since)
    cost = select(func.coalesce(func.sum(ATTEMPTS.c.cost), 0)).where(mine)
    return int(connection.execute(cost).scalar_one()) / 1e6
