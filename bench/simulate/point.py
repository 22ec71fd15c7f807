"""One simulated operating point: so many replicas at such a load, through every station of a request."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from bench.simulate import fleet, stations
from bench.simulate.calibration import Calibration, EngineTimes
from bench.simulate.fleet import Fleet, Work

ROUTER_LOAD = 0.6
"""How busy Routers may be: behind a proxy that picks any of them, their queues grow fast above it."""
SHARED_LOAD = 0.7
"""How busy the database of one cell may be."""
WARM_SHARE = 0.25
SPAN_SERVICES = 20
"""How many mean services a simulated run spans at least."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the simulation. Requests of `cloud_share` go to the cloud by policy, not by load."""

    rate: float
    load: float
    patience_s: float
    cloud_share: float
    requests: int
    seed: int


@dataclass(frozen=True, slots=True)
class Shape:
    """How many of everything; a cell is Routers, engines and a database of their own."""

    replicas: int
    cells: int
    routers: int
    rate: float
    load: float


@dataclass(frozen=True, slots=True)
class Point:
    """What came of it. Seconds; dollars an hour of the whole, engines at their price per hour."""

    shape: Shape
    first_token_p50_s: float
    first_token_p99_s: float
    latency_p50_s: float
    latency_p99_s: float
    decided_p99_s: float
    spill_share: float
    engine_busy: float
    cloud_usd_per_hour: float
    engine_usd_per_hour: float
    one_of_each: dict[str, float]


def capacity(engine: EngineTimes, world: Calibration) -> float:
    """Requests a second of one replica with all slots taken."""
    size, answer = (float(np.mean(of)) for of in (world.lengths.input, world.lengths.output))
    return engine.slots / _service(engine, size, answer)


def _service(engine: EngineTimes, size: float, answer: float) -> float:
    return engine.first_token_s + size * engine.prefill_s_per_token + answer * engine.gap_full_s


def shape(question: Question, engine: EngineTimes, world: Calibration) -> Shape:
    """Replicas for `rate` at full load; the rate is then what makes that many as busy as `load` says."""
    able = capacity(engine, world)
    local = 1 - question.cloud_share
    replicas = max(1, math.ceil(question.rate * local / able))
    rate = question.load * replicas * able / local
    billed = question.cloud_share + local * max(0.0, 1 - 1 / question.load)
    most = min(
        SHARED_LOAD * world.audit.per_s,
        SHARED_LOAD * world.ledger.per_s / max(billed, 1e-9),
        SHARED_LOAD * world.proxy.per_s,
    )
    cells = max(1, math.ceil(rate / most))
    cells = math.ceil(replicas / max(1, replicas // cells))  # whole replicas in each
    routers = cells * max(2, math.ceil(rate / cells * world.router.cpu_s / ROUTER_LOAD))
    return Shape(replicas, min(cells, replicas), routers, rate, question.load)


def simulate(question: Question, engine: EngineTimes, world: Calibration) -> Point:
    """One cell, request by request; the others are like it."""
    made = shape(question, engine, world)
    random = np.random.default_rng(question.seed)
    replicas = max(1, round(made.replicas / made.cells))
    rate = made.rate * replicas / made.replicas
    # Shorter than many services, a run would see mostly how an empty fleet fills.
    count = max(question.requests, int(rate * SPAN_SERVICES * engine.slots / capacity(engine, world)))
    arrived = np.cumsum(random.exponential(1 / rate, count))
    size, answer = world.lengths.draw(count, random)
    decided = _decided(arrived, max(1, made.routers // made.cells), world, random)
    order = np.argsort(decided, kind="stable")
    arrived, decided, size, answer = arrived[order], decided[order], size[order], answer[order]
    first_at, last_at, away, busy = _answered(
        question, engine, world, (decided, size, answer), replicas, random
    )
    kept = slice(int(count * WARM_SHARE), None)
    chosen, spilled = away
    hours = (arrived[-1] - arrived[0]) / 3600
    billed = (chosen | spilled) * (size * world.cloud.input_usd + answer * world.cloud.output_usd) / 1e6
    spill = float(spilled[kept].sum() / max(1, (~chosen[kept]).sum()))
    first, last = (_points((of - arrived)[kept]) for of in (first_at, last_at))
    return Point(
        made,
        first_token_p50_s=first[0],
        first_token_p99_s=first[1],
        latency_p50_s=last[0],
        latency_p99_s=last[1],
        decided_p99_s=_points((decided - arrived)[kept])[1],
        spill_share=round(spill, 4),
        engine_busy=round(busy, 4),
        cloud_usd_per_hour=round(float(billed.sum()) / hours * made.replicas / replicas, 2),
        engine_usd_per_hour=round(engine.usd_per_hour * made.replicas, 2),
        one_of_each=one_of_each(made.rate, question.cloud_share + (1 - question.cloud_share) * spill, world),
    )


def _points(seconds: np.ndarray) -> tuple[float, float]:
    """Median and 99th percentile."""
    half, most = np.quantile(seconds, (0.5, 0.99))
    return round(float(half), 4), round(float(most), 4)


def _decided(
    arrived: np.ndarray, routers: int, world: Calibration, random: np.random.Generator
) -> np.ndarray:
    """When each request is decided and its intent is in the audit log."""
    seen = stations.in_order(arrived, 1 / world.proxy.per_s)
    read = stations.spread_over(seen, world.router.cpu_s, routers, random)
    order = np.argsort(read, kind="stable")
    done = np.empty_like(read)
    done[order] = stations.together(read[order], world.audit)
    return done


def _answered(
    question: Question,
    engine: EngineTimes,
    world: Calibration,
    requests: tuple[np.ndarray, np.ndarray, np.ndarray],
    replicas: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], float]:
    """First and last token of each, who went to the cloud (by policy, by load), and how busy the engines were."""
    decided, size, answer = requests
    chosen = random.random(len(decided)) < question.cloud_share
    here = ~chosen
    first_s = engine.first_token_s + size * engine.prefill_s_per_token
    pool = Fleet(replicas, engine.slots, engine.gap_alone_s, engine.gap_full_s, question.patience_s)
    served = fleet.run(Work(decided[here], first_s[here], answer[here]), pool, random)
    first_at, last_at = np.full(len(decided), np.nan), np.full(len(decided), np.nan)
    first_at[here], last_at[here] = served.first_at, served.last_at
    away = np.isnan(last_at)
    paid = stations.together(decided[away], world.ledger)
    first_at[away] = paid + world.cloud.first_token_s
    last_at[away] = first_at[away] + answer[away] * world.cloud.gap_s
    return first_at, last_at, (chosen, away & here), served.busy_share


def one_of_each(rate: float, billed_share: float, world: Calibration) -> dict[str, float]:
    """How busy one proxy, one audit log and one ledger would be, were there no cells: above 1 it cannot be."""
    return {
        "proxy": round(rate / world.proxy.per_s, 4),
        "audit": round(rate / world.audit.per_s, 4),
        "ledger": round(rate * billed_share / world.ledger.per_s, 4),
    }


def as_row(point: Point) -> dict[str, object]:
    """For a file."""
    row = asdict(point)
    found: dict[str, object] = row.pop("shape") | row
    return found
