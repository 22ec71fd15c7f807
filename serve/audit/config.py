"""The `audit` section of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class AuditConfig(BaseModel):
    """Whether decisions are written down, for how long they are kept, and how long a request waits for that."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = True
    retention_days: int = Field(183, ge=1, description="older records are removed, once a day")
    write_timeout_s: float = Field(
        5, gt=0, description="a request waits so long for its record, then it stays on the premises"
    )
    max_queued: int = Field(
        20_000,
        ge=100,
        description="records kept in memory while they cannot be written; more are counted as lost",
    )
