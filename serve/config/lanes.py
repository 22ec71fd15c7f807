"""The lanes: who may answer, and where each of them stands."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from serve.config.strict import EnvRef, FileRef, Name, Strict
from serve.ledger.config import Price
from serve.request import Capability

Location = Literal["device", "private", "eu", "global"]
ON_PREMISES: frozenset[Location] = frozenset({"device", "private"})
PROVIDERS = (
    "ai.azure.com",
    "anthropic.com",
    "cohere.com",
    "deepseek.com",
    "fireworks.ai",
    "generativelanguage.googleapis.com",
    "groq.com",
    "mistral.ai",
    "openai.azure.com",
    "openai.com",
    "openrouter.ai",
    "perplexity.ai",
    "together.ai",
    "together.xyz",
    "x.ai",
)
"""Hosts whose lanes nobody may call private, so that a slip does not open them to confidential data."""

SWITCHED_OFF = "switched off by configuration"


class LaneSwitch(Strict):
    """What of a lane may change while it answers."""

    enabled: bool = Field(True, description="false switches the lane off for every new request")
    price: Price | None = None


class EngineLane(LaneSwitch):
    """A lane answered by an engine of this application."""

    kind: Literal["engine"]
    name: Name
    engine: Name
    location: Literal["device", "private"] = "device"
    tier: Literal[1, 2, 3] = 1
    context: int = Field(gt=0, description="tokens, input and output together")
    capabilities: frozenset[Capability] = frozenset({"tools", "json_schema", "logprobs", "n"})

    @property
    def embeddings(self) -> bool:
        """Engines write."""
        return False

    @field_validator("capabilities")
    @classmethod
    def _text_only(cls, value: frozenset[Capability]) -> frozenset[Capability]:
        if media := value & {"vision", "audio"}:
            raise ValueError(f"engines take text only: {min(media)} is for lanes of kind openai or anthropic")
        return value


class EncoderLane(LaneSwitch):
    """A lane that makes embeddings, answered by a deployment of its own that holds a sentence encoder, on CPU."""

    kind: Literal["encoder"]
    name: Name
    model: str = Field(
        "all-minilm-l6-v2",
        min_length=1,
        description="the name that clients know; one in models/lock.toml, or any",
    )
    path: Path | None = Field(None, description="folder of the weights; None: `model` is in models/lock.toml")
    location: Literal["device", "private"] = "device"
    tier: Literal[1, 2, 3] = 1
    context: int = Field(256, ge=8, description="tokens of one input, as the model counts them")
    max_request_tokens: int = Field(
        131_072,
        ge=8,
        description="tokens of all inputs of one request; as many as `dispatch.unary_s` has time for",
    )
    pooling: Literal["mean", "cls"] = Field("mean", description="as the model was trained")
    num_cpus: float = Field(0.2, ge=0)
    threads: int = Field(1, ge=1)
    replicas: int = Field(1, ge=1)
    max_ongoing_requests: int = Field(16, ge=2)
    max_queued_requests: int = Field(32, ge=1)
    max_batch_size: int = Field(8, ge=1, description="inputs at a time, of any requests")

    @property
    def embeddings(self) -> bool:
        """Nothing else."""
        return True

    @property
    def capabilities(self) -> frozenset[Capability]:
        """None: all of them are about answers in words."""
        return frozenset()

    @property
    def off_because(self) -> str | None:
        """It needs no address and no key."""
        return None


class HttpLane(LaneSwitch):
    """A lane answered by an HTTP endpoint, spoken to by CloudProxy alone."""

    kind: Literal["openai", "anthropic"]
    name: Name
    model: str = Field(min_length=1)
    base_url: str | EnvRef
    api_key: EnvRef | FileRef | None = Field(None, description="None: the endpoint wants no key")
    location: Location
    tier: Literal[1, 2, 3] = 2
    context: int = Field(gt=0)
    capabilities: frozenset[Capability] = frozenset({"tools", "json_schema"})
    max_output_tokens: int = Field(
        4096, ge=1, description="sent when the client sets none (Anthropic needs one)"
    )
    max_in_flight: int = Field(256, ge=1)
    sampling: bool = Field(
        False,
        description="kind anthropic: it takes temperature, top_p and top_k; vLLM does, Anthropic refuses them",
    )
    embeddings: bool = Field(
        False, description="it makes embeddings and nothing else; `context` is that of one input"
    )

    @property
    def url(self) -> str | None:
        """The endpoint, None while its environment variable is not set."""
        return self.base_url if isinstance(self.base_url, str) else self.base_url.resolve()

    @property
    def off_because(self) -> str | None:
        """Why the lane cannot be used, in words; None when it can."""
        if self.url is None and isinstance(self.base_url, EnvRef):
            return f"no address: set {self.base_url.env}"
        if self.api_key is None or self.api_key.resolve():
            return None
        where = self.api_key.env if isinstance(self.api_key, EnvRef) else str(self.api_key.file)
        return f"no key: set {where}"

    @model_validator(mode="after")
    def _embeds_in_openais_words(self) -> "HttpLane":
        if self.embeddings and self.kind != "openai":
            raise ValueError("embeddings: only lanes of kind openai make them")
        return self

    @model_validator(mode="after")
    def _deviceis_loopback(self) -> "HttpLane":
        host = urlsplit(self.url or "").hostname or ""
        if self.url and urlsplit(self.url).scheme not in {"http", "https"}:
            raise ValueError(f"base_url must be http:// or https://, not {self.url!r}")
        if self.location == "device" and self.url and not is_loopback(host):
            raise ValueError(f"location is device but base_url names {host!r}, which is not this machine")
        if self.location == "private" and _is_foreign(host):
            raise ValueError(f"location is private but base_url names {host!r}, which is somebody else's")
        return self


Lane = Annotated[EngineLane | EncoderLane | HttpLane, Field(discriminator="kind")]


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine for sure."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_foreign(host: str) -> bool:
    """Whether everybody on the internet reaches the same machine by it, as far as the name alone can tell."""
    name = host.rstrip(".").lower()
    if any(name == provider or name.endswith(f".{provider}") for provider in PROVIDERS):
        return True
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return False
