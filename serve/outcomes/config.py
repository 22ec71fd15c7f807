"""The `outcomes` section of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class OutcomesConfig(BaseModel):
    """Whether decisions are tracked, for how long, and how money is counted in reports."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = True
    retention_days: int = Field(
        183, ge=1, description="older decisions, feedback and costs of attempts are removed, once an hour"
    )
    max_queued: int = Field(
        20_000, ge=100, description="decisions kept in memory while the database is away; more are lost"
    )
    retry_within_s: float = Field(
        120,
        ge=0,
        description="the same prompt of the same key again so soon: the first answer failed; 0: never",
    )
    correction_usd_per_hour: float = Field(
        0, ge=0, le=100_000, allow_inf_nan=False, description="price of the minutes that people correct"
    )
    baseline: str | None = Field(
        None, description="the lane of always-cloud; None: the first one outside of the highest tier"
    )
