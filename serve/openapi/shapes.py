"""What the routes of Pointsman itself answer, as pydantic models for the document."""

from typing import Literal

from pydantic import BaseModel, Field, JsonValue


class ErrorDetail(BaseModel):
    """`code` is stable; `param` names the field or header at fault."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """Every error, in OpenAI's shape."""

    error: ErrorDetail


class ModelCard(BaseModel):
    """One name that `model` may have."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """`auto`, every lane, and every cloud model by its own name."""

    object: Literal["list"]
    data: list[ModelCard]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]
    version: str


class LaneHealth(BaseModel):
    """One lane, as this process sees it."""

    state: Literal["ready", "full", "down", "off"]
    note: str | None
    kind: str
    location: str
    in_flight: int
    predicted_wait_s: float = Field(
        description="seconds in this lane's queue, guessed from what it has to do"
    )
    overflows: bool = Field(description="requests went past it a short while ago")
    spilled: int = Field(description="requests that went past it since the process began")
    spills_per_s: float
    ejections: int
    ejected_until_s: float = Field(description="seconds until it is tried in its turn again")


class AuditHealth(BaseModel):
    """Whether decisions can be written down; while they cannot, nothing leaves the premises."""

    state: Literal["ok", "starting", "failing", "off"]
    why: str | None
    lost: int = Field(description="records that were not written because too many waited")
    failures: int = Field(description="writes that failed")


class OutcomesHealth(BaseModel):
    """Whether decisions are tracked; while they cannot be, answers go on."""

    state: Literal["up", "idle", "down", "off"]
    note: str | None
    lost: int = Field(description="decisions that were not kept because too many waited")


class Readiness(BaseModel):
    """Whether any lane can answer."""

    status: Literal["ready", "unavailable"]
    lanes: dict[str, LaneHealth]
    policy_version: str
    keys: Literal["open", "required"]
    reload_refused: str | None = Field(
        description="that the last change of the configuration was refused; the log says why"
    )
    audit: AuditHealth
    outcomes: OutcomesHealth


class RouteReason(BaseModel):
    """A stable code and the sentence that explains it."""

    code: str
    text: str


class RouteExclusion(RouteReason):
    """A lane that may not or cannot answer."""

    lane: str


class RoutePreamble(BaseModel):
    """A preamble as it is configured."""

    name: str
    version: str


class RouteAnswer(BaseModel):
    """A decision that was not run."""

    decision_id: str
    lane: str
    chain: list[str] = Field(min_length=1)
    reason: str
    reasons: list[RouteReason]
    review: RouteReason | None = Field(description="why the answer would wait for a reviewer")
    preambles: dict[str, RoutePreamble] = Field(description="what lanes would be told first, by lane")
    excluded: list[RouteExclusion]
    permit: dict[str, JsonValue]
    signals: dict[str, JsonValue]
    policy_version: str
    explanation: str
