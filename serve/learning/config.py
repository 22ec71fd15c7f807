"""The `learning` section of the configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LearningConfig(BaseModel):
    """Whether routing tables that were promoted are followed, how new ones are tried, and how much is explored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = Field(True, description="follow the tables that the database says are in force")
    explore: float = Field(
        0,
        ge=0,
        le=0.3,
        description="share of requests whose tier is drawn at random, so that others can be judged",
    )
    canary_share: float = Field(
        0.1, gt=0, le=0.5, description="share of requests (or sessions) that a new table decides on trial"
    )
    poll_s: float = Field(
        2, ge=0.1, le=300, description="how often the database is asked, and a trial is judged, in seconds"
    )
    every: Literal["day", "week", "never"] | None = Field(
        None,
        description="how often a better table is looked for; left out: each week where `sweeps` are on, else never",
    )
