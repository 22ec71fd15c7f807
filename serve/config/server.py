"""The HTTP edge and the database."""

from typing import Literal

from pydantic import Field

from serve.bounds import Bounds
from serve.config.strict import EnvRef, FileRef, Strict


class ServerConfig(Strict):
    """The HTTP edge."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    max_body_bytes: int = Field(8 << 20, ge=1024, description="larger bodies are refused with 413")
    body_timeout_s: float = Field(30, gt=0, description="a body that takes longer is refused with 408")
    max_depth: int = Field(
        100, ge=8, le=190, description="levels of nesting; deeper bodies are refused with 400"
    )
    max_values: int = Field(250_000, ge=64, description="JSON values of one body; more are refused with 400")
    max_messages: int = Field(10_000, ge=1, description="more are refused with 400")
    max_parts: int = Field(
        10_000, ge=1, description="content parts of all messages; more are refused with 400"
    )
    stall_s: float = Field(
        120, gt=0, description="a client that takes nothing of its stream for so long is dropped"
    )
    router_replicas: int = Field(1, ge=1)
    cloud_replicas: int | None = Field(
        None, ge=1, description="CloudProxies, each with connections of its own; None: as many as Routers"
    )
    max_ongoing_requests: int = Field(512, ge=1)
    max_queued_requests: int = Field(256, ge=1)

    log_format: Literal["json", "text"] = Field(
        "json", description="of the lines in the files of each replica"
    )

    @property
    def bounds(self) -> Bounds:
        """What the parser refuses."""
        return Bounds(self.max_depth, self.max_values, self.max_messages, self.max_parts)


class StateConfig(Strict):
    """The database of what must outlive a process: budgets, the audit log, reviews, kept responses."""

    url: str | EnvRef | FileRef | None = Field(
        None,
        description="sqlite:////absolute/path or postgresql://…; None: pointsman/state.db in the XDG state directory",
    )

    def resolve(self) -> str | None:
        """The URL now, None for the default database."""
        return self.url.resolve() if isinstance(self.url, EnvRef | FileRef) else self.url
