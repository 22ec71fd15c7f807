"""The `tracing` section of the configuration. Where spans go is told by the standard OTEL_* variables."""

from pydantic import BaseModel, ConfigDict, Field


class TracingConfig(BaseModel):
    """Whether requests are traced, and how many of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = Field(False, description="for `pointsman up`; elsewhere Serve's own settings decide")
    share: float = Field(
        1.0, ge=0, le=1, description="of the requests whose client has not decided it (traceparent)"
    )
