"""What `GET /v1/dashboard` answers. Money in micro-dollars, times in Unix milliseconds, no content of requests."""

from typing import Literal

from pydantic import BaseModel, Field


class Money(BaseModel):
    """What was spent, and what the same tokens would have cost at the lane of always-cloud."""

    cost: int
    always_cloud: int


class Totals(Money):
    """All decisions of the time asked for."""

    requests: int
    tier1: int = Field(description="answers of the lowest tier")
    local: int
    cloud: int
    failed: int
    fallbacks: int = Field(description="requests for which another lane was asked after one had failed")
    escalations: int
    spilled: int
    local_p95_ms: int | None


class Slice(Money):
    """One part of the time asked for, from `at` on."""

    at: int
    local: int
    cloud: int
    failed: int


class Task(Money):
    """One type of task. `good`: answers that nobody and no rule called bad; `told`: with feedback."""

    task: str
    requests: int
    local: int
    fallbacks: int
    escalations: int
    good: int
    told: int


class Success(BaseModel):
    """What a success costs in one group: `cpst` with its 95 % interval, `low` to `high`; None: too little is known.

    `cost` is everything that was spent, `correction` the work of people; `judged`: decisions that somebody spoke about.
    """

    by: Literal["total", "task", "tier", "lane", "key", "session"]
    name: str
    decisions: int
    successes: int
    judged: int
    cost: float
    correction: float
    cpst: float | None
    low: float | None
    high: float | None


class LaneNow(BaseModel):
    """One lane: `in_flight` and `spilled` of all Routers, `state` as this one sees it."""

    name: str
    location: str
    state: str
    in_flight: int
    predicted_wait_s: float
    spilled: int


class Budget(BaseModel):
    """One account of the running day or month; `limit` None: none, or one that only its key knows."""

    scope: str
    period: str
    spent: int
    reserved: int
    limit: int | None


class Recent(BaseModel):
    """One decision."""

    decision_id: str
    at: int
    key: str
    task: str
    data_class: str
    lane: str | None
    reason: str
    error: str | None
    attempts: int
    cost: int
    latency_ms: int
    overhead_ms: float


class TableChange(BaseModel):
    """One change of the routing table in force; `current` None: the configured one."""

    seq: int
    at: int
    what: str
    who: str
    why: str
    current: str | None
    canary: str | None
    share: float


class TableVersion(BaseModel):
    """One table that is kept. `rows`: how it differs from the configured one; `proof`: what the log said of it."""

    version: str
    at: int
    who: str
    why: str
    rows: list[str]
    proof: list[str]


class TableRun(BaseModel):
    """One look for a better table, made on schedule; `outcome` None: it is being made."""

    period: str
    at: int
    outcome: str | None
    why: str | None


class Trial(BaseModel):
    """How the table on trial stands. `low` and `high`: of its success - cost / worth less the current table's."""

    compared: int
    failed: int
    better: float
    low: float
    high: float
    why: str


class TablesKept(BaseModel):
    """What the database says of routing tables, the newest first."""

    changes: list[TableChange]
    versions: list[TableVersion]
    runs: list[TableRun]


class TablesNow(TablesKept):
    """Which routing tables decide in this Router; `share`, 0 to 1, is the canary's."""

    configured: str
    current: str | None
    canary: str | None
    share: float
    trial: Trial | None


class Counted(BaseModel):
    """What was counted `at` some moment over the time asked for; shown for a while where that takes long."""

    at: int
    totals: Totals
    timeline: list[Slice]
    tasks: list[Task]
    successes: list[Success]


class Kept(Counted):
    """What the database says."""

    budgets: list[Budget]
    recent: list[Recent]


class Dashboard(Kept):
    """Everything the page shows."""

    hours: int
    version: str
    policy_version: str
    routers: int
    reviews_waiting: int | None
    scout_p50_ms: float | None = Field(description="of all requests counted; the upper end of a bucket")
    scout_p95_ms: float | None
    scout_limit_ms: float
    lanes: list[LaneNow]
    tables: TablesNow | None = Field(description="None: the policy reads no routing table")
    warnings: list[str]
