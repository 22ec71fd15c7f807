"""The `metrics` section of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class MetricsConfig(BaseModel):
    """What is counted by whom, and how often a Router shares what it counted with the others."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    by_key: bool = Field(False, description="requests and cost by the name of the key, too")
    by_session: bool = Field(
        False, description="cost per success of the 50 busiest sessions, by the hash of their name, too"
    )
    share_s: float = Field(
        2, gt=0, le=10, description="seconds between two snapshots of one Router in the state database"
    )
    cpst_hours: float = Field(
        24, gt=0, le=24 * 366, description="how far back the cost per success at /metrics is counted"
    )
    cpst_every_s: float = Field(
        60, ge=0, le=86_400, description="seconds between two counts of it at least; 0: it is not counted"
    )
