"""The `sessions` section of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class SessionsConfig(BaseModel):
    """How long it is known which lane answered last in a session or a tool loop."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = Field(True, description="false: every request is placed as if it were the first")
    keep_s: int = Field(3600, ge=1, description="how long after its last answer a session is known")
    max_kept: int = Field(100_000, ge=1, description="sessions of all keys; the oldest ones make room")
    wait_s: float = Field(
        0.05,
        gt=0,
        le=60,
        description="so long the database is waited for; past it the rules place the request",
    )
