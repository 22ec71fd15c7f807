"""The `responses` section of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class ResponsesConfig(BaseModel):
    """Which responses are kept for `previous_response_id`, for how long, and how many."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = Field(True, description="false: none is kept, whatever `store` says")
    keep_s: int = Field(86_400, ge=1, description="how long a response is kept")
    max_kept: int = Field(10_000, ge=1, description="responses of all keys; the oldest ones make room")
    max_kept_per_key: int = Field(1_000, ge=1, description="responses of one key; its oldest ones make room")
    max_bytes: int = Field(1 << 30, ge=1024, description="the same in bytes")
    max_bytes_per_key: int = Field(128 << 20, ge=1024, description="the same in bytes")
    max_bytes_each: int = Field(4 << 20, ge=1024, description="a larger conversation is not kept")
