"""What `GET /v1/dashboard` answers. Money in micro-dollars, times in Unix milliseconds, no content of requests."""

from pydantic import BaseModel, Field


class Money(BaseModel):
    """What was spent, and what the same tokens would have cost at the lane of always-cloud."""

    cost: int
    always_cloud: int


class Totals(Money):
    """All decisions of the time asked for."""

    requests: int
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


class Kept(BaseModel):
    """What the database says."""

    totals: Totals
    timeline: list[Slice]
    tasks: list[Task]
    budgets: list[Budget]
    recent: list[Recent]


class Dashboard(Kept):
    """Everything the page shows."""

    at: int
    hours: int
    version: str
    policy_version: str
    routers: int
    reviews_waiting: int | None
    scout_p50_ms: float | None = Field(description="of all requests counted; the upper end of a bucket")
    scout_p95_ms: float | None
    scout_limit_ms: float
    lanes: list[LaneNow]
    warnings: list[str]
