"""The `keys` and `limits` sections of the configuration."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SQLITE = "sqlite:///"
POSTGRESQL = "postgresql"


class KeysConfig(BaseModel):
    """Whether callers need a key, and where the keys are kept: in one database or in one file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    mode: Literal["required", "open"] = Field(
        "required", description="open: everybody who reaches the address may call; loopback only"
    )
    url: Annotated[str, Field(pattern=rf"^{SQLITE}/")] | None = Field(
        None,
        description="sqlite:////absolute/path; None: state.url where that is PostgreSQL, "
        "else pointsman/keys.db in the XDG state directory",
    )
    file: Path | None = Field(None, description="a YAML file of key entries, as Kubernetes mounts secrets")
    refresh_s: float = Field(2, gt=0, le=4, description="how often the keys are read again")
    stale_s: float = Field(60, gt=0, description="how long the last keys stand while they cannot be read")

    def database(self, state_url: str | None) -> str | None:
        """The URL of the keys, None for the default file. `state_url`: of what else must outlive a process."""
        if self.url is None and state_url is not None and state_url.startswith(POSTGRESQL):
            return state_url
        return self.url

    @model_validator(mode="after")
    def _one_absolute_source(self) -> "KeysConfig":
        if self.url and self.file:
            raise ValueError("keys come from url or from file: set one of them")
        if self.file and not self.file.is_absolute():
            raise ValueError(f"file must be an absolute path, not {str(self.file)!r}: replicas run elsewhere")
        return self


class LimitsConfig(BaseModel):
    """What a key may use when its own entry says nothing. All routers together."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    requests_per_minute: int | None = Field(None, ge=1, description="None: no limit")
    tokens_per_minute: int | None = Field(None, ge=1, description="input and output together")
    max_parallel: int | None = Field(128, ge=1, description="requests of one key at the same time")
