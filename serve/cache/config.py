"""The `cache` section of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class CacheConfig(BaseModel):
    """How many answers each Router keeps in memory, and for how long, for keys that opted in."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    enabled: bool = Field(True, description="false: nothing is kept or found, whatever keys say")
    keep_s: int = Field(3600, ge=1, description="how long an answer is kept")
    max_bytes: int = Field(
        64 << 20, ge=1024, description="answers of all keys; the key that holds most makes room"
    )
    max_bytes_per_key: int = Field(16 << 20, ge=1024, description="its least used answers make room")
    max_bytes_each: int = Field(256 << 10, ge=256, description="a larger answer is not kept")
