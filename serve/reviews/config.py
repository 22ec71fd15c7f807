"""The `reviews` section of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class ReviewsConfig(BaseModel):
    """How long held answers are kept, and how many. Which answers are held says `policy.review`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    expire_s: int = Field(86_400, ge=1, description="nobody gets an answer that nobody decided on by then")
    keep_s: int = Field(
        86_400, ge=1, description="how long an approved answer can be fetched and a note read"
    )
    max_pending: int = Field(1000, ge=1, description="answers that wait; more get 503")
    max_pending_per_key: int = Field(100, ge=1, description="of one key; more get 429")
