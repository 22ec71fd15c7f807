"""What somebody says of an answer, and what that counts as."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serve.errors import InvalidRequest

GOOD_FROM = 0.5
"""A quality from here on counts as a success where nothing else is said."""

JUDGED_BY = "judge"
"""Who says so where Pointsman's own judge does: no client may."""

Label = Literal["good_fit", "underpowered", "overprovisioned", "failed"]
SUCCESSFUL: dict[Label, bool] = {
    "good_fit": True,
    "overprovisioned": True,
    "underpowered": False,
    "failed": False,
}


class FeedbackBody(BaseModel):
    """What `POST /v1/feedback` takes: at least one of outcome, quality and label."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    decision_id: Annotated[str, Field(min_length=1, max_length=64)]
    outcome: Literal["success", "failure"] | None = None
    quality: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    label: Label | None = None
    source: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] | None = None
    correction_minutes: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.outcome is None and self.label is None and self.quality is None:
            raise ValueError("say at least one of outcome, quality and label")
        if self.source == JUDGED_BY:
            raise ValueError(f"source {JUDGED_BY} is Pointsman's own: say who you are")
        if self.outcome and self.label and (self.outcome == "success") is not SUCCESSFUL[self.label]:
            raise ValueError(f"outcome {self.outcome} and label {self.label} contradict each other")
        return self

    @property
    def success(self) -> bool:
        """By the outcome, else by the label, else by the quality."""
        if self.outcome is not None:
            return self.outcome == "success"
        if self.label is not None:
            return SUCCESSFUL[self.label]
        return (self.quality or 0) >= GOOD_FROM


class FeedbackTaken(BaseModel):
    """What it counted as; `replaced`: something else was said of this answer before."""

    object: Literal["feedback"] = "feedback"
    decision_id: str
    success: bool
    replaced: bool


@dataclass(frozen=True, slots=True)
class Said:
    """Feedback as it is kept. `key`: name of the key that says so. `at`: Unix milliseconds."""

    decision_id: str
    at: int
    success: bool
    quality: float | None
    label: str | None
    source: str | None
    correction_minutes: float
    key: str
    reviewer: bool


class Taken(StrEnum):
    """What became of it. `settled`: a reviewer has spoken, and this caller is none."""

    NEW = "new"
    REPLACED = "replaced"
    UNKNOWN = "unknown"
    SETTLED = "settled"


def read(body: bytes) -> FeedbackBody:
    """Raises InvalidRequest that names the field and never quotes it."""
    try:
        return FeedbackBody.model_validate_json(body)
    except ValidationError as error:
        item = error.errors(include_url=False, include_input=False, include_context=False)[0]
        known = [part for part in item["loc"] if part in FeedbackBody.model_fields]
        field = str(known[0]) if known else None
        words = item["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"{field}: {words}" if field else words, param=field) from None
