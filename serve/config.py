"""The one YAML file that describes a Pointsman: read, checked as a whole, then never changed.

Knows what a right configuration is. Does not start anything.
"""

import hashlib
import ipaddress
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from serve import routing_table, yaml_file
from serve.audit.config import AuditConfig
from serve.bounds import Bounds
from serve.errors import ConfigError
from serve.keys.config import KeysConfig, LimitsConfig
from serve.ledger.config import BudgetsConfig, Price, Prices, Usd, inlined
from serve.metrics.config import MetricsConfig
from serve.outcomes.config import OutcomesConfig
from serve.request import Capability
from serve.reviews.config import ReviewsConfig
from serve.routing_table import RoutingTable, Tier
from serve.signals.readings import Difficulty, Latency, Sensitivity, Stakes, TaskType
from serve.signals.sensitivity.own import Own, lowered
from serve.surfaces.responses.config import ResponsesConfig

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
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Strict(BaseModel):
    """Unknown keys are mistakes, and a loaded configuration never changes."""

    # Defaults are validated so that 30 and 30.0 are one version.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class EnvRef(Strict):
    """A value that lives in the environment, so that no secret stands in a file."""

    env: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")]
    default: str | None = None

    def resolve(self) -> str | None:
        """The value now, or the default; an empty variable counts as unset."""
        return os.environ.get(self.env) or self.default


class FileRef(Strict):
    """A value that lives in a file, as Kubernetes mounts secrets."""

    file: Path

    def resolve(self) -> str | None:
        """The stripped content, None when the file is not there."""
        return self.file.read_text().strip() if self.file.is_file() else None


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

    @property
    def bounds(self) -> Bounds:
        """What the parser refuses."""
        return Bounds(self.max_depth, self.max_values, self.max_messages, self.max_parts)


class Autoscaling(Strict):
    """Replica bounds of one deployment; scaling follows queue depth: requests running and waiting."""

    min_replicas: int = Field(1, ge=0, description="0: nothing runs while nobody asks")
    max_replicas: int = Field(1, ge=1)
    target_ongoing_requests: float = Field(
        gt=0, description="requests a replica should hold, waiting ones too"
    )
    upscale_delay_s: float = Field(10, ge=0, description="how long more must be wanted; none from zero")
    downscale_delay_s: float = Field(300, ge=0, description="how long less must be wanted")
    downscale_to_zero_delay_s: float = Field(600, ge=0, description="how long the last replica idles")
    look_back_period_s: float = Field(15, gt=1, description="requests are averaged over this time")

    @model_validator(mode="after")
    def _ordered(self) -> "Autoscaling":
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas is larger than max_replicas")
        return self

    def require_headroom(self, max_ongoing_requests: int) -> None:
        """Raises ValueError when a full deployment would spill before it scales."""
        if self.target_ongoing_requests > 0.7 * max_ongoing_requests:
            raise ValueError(
                f"autoscaling.target_ongoing_requests {self.target_ongoing_requests} must be at most 0.7 x "
                f"max_ongoing_requests {max_ongoing_requests}: a full replica must look overloaded"
            )


class EngineAutoscaling(Autoscaling):
    """Replica bounds of one engine; spilled requests count as demand too."""

    policy: Literal["queue_and_spill", "queue"] = "queue_and_spill"
    service_s: float = Field(10, gt=0, description="seconds one answer takes, until that has been measured")


class EngineConfig(Strict):
    """One vLLM deployment: it holds weights; lanes point at it."""

    model: str = Field(description="a name in models/lock.toml, a directory, or a model-hub name")
    revision: str | None = Field(None, description="commit of a model-hub name")
    num_cpus: float = Field(1, ge=0)
    num_gpus: float = Field(0, ge=0)
    threads: int | None = Field(None, ge=1, description="CPU engine only; None: every core of the machine")
    kv_cache_gib: int | None = Field(None, ge=1, description="CPU engine only")
    max_ongoing_requests: int = Field(8, ge=1)
    max_queued_requests: int = Field(4, ge=1)
    autoscaling: EngineAutoscaling | None = None
    vllm: dict[str, JsonValue] = Field(default_factory=dict, description="vLLM engine and frontend arguments")

    @model_validator(mode="after")
    def _scales_before_it_spills(self) -> "EngineConfig":
        if self.autoscaling:
            self.autoscaling.require_headroom(self.max_ongoing_requests)
        if forbidden := {"trust_remote_code", "model", "host", "port"} & self.vllm.keys():
            raise ValueError(f"vllm.{min(forbidden)} may not be set")
        return self


class ScoutConfig(Strict):
    """The Scout deployment; leave the section out to route with the in-process pre-scout alone."""

    model: str = "all-minilm-l6-v2"
    num_cpus: float = Field(0.2, ge=0)
    num_gpus: float = Field(0, ge=0)
    threads: int = Field(1, ge=1)
    replicas: int = Field(
        1, ge=1, description="a fixed number; give autoscaling instead to let it follow load"
    )
    autoscaling: Autoscaling | None = None
    max_ongoing_requests: int = Field(64, ge=2)
    max_queued_requests: int = Field(32, ge=1)
    max_batch_size: int = Field(16, ge=1)
    batch_wait_s: float = Field(0.003, ge=0)

    @model_validator(mode="after")
    def _scales_one_way(self) -> "ScoutConfig":
        if self.autoscaling:
            if "replicas" in self.model_fields_set:
                raise ValueError("give either replicas or autoscaling, not both")
            self.autoscaling.require_headroom(self.max_ongoing_requests)
        return self

    @property
    def most_replicas(self) -> int:
        """How many replicas there may be at once."""
        return self.autoscaling.max_replicas if self.autoscaling else self.replicas


class SensitivityConfig(Strict):
    """An organisation's own words, and rules whose class it raises. Nothing here can lower a class."""

    dictionary: dict[Literal["internal", "confidential"], tuple[str, ...]] = Field(
        default={}, description="whole words or phrases, in any case, by the class of a text that has one"
    )
    levels: dict[str, Literal["internal", "confidential"]] = Field(
        default={}, description="a higher class for a rule, e.g. full_name: confidential"
    )

    @model_validator(mode="after")
    def _only_raises(self) -> Self:
        if wrong := lowered(self.own.levels):
            raise ValueError(f"levels: {', '.join(wrong)}: no such rule, or its class is already higher")
        if any(not word.strip() for words in self.dictionary.values() for word in words):
            raise ValueError("dictionary: an empty word would be found in every text")
        return self

    @property
    def own(self) -> Own:
        """The same for the sensitivity signal."""
        words = {Sensitivity.parse(level): words for level, words in self.dictionary.items()}
        return Own(words, {rule: Sensitivity.parse(level) for rule, level in self.levels.items()})


class SignalsConfig(Strict):
    """When the Scout is asked and how long anybody waits."""

    scout_deadline_s: float = Field(0.08, gt=0, description="past it the decision is made without the Scout")
    sure_at: float = Field(
        0.75, ge=0, le=1, description="pre-scout confidence from which nobody else is asked"
    )
    deadline_s: float = Field(5, gt=0, description="past it the sensitivity of a request is confidential")
    inline_chars: int = Field(20_000, ge=0, description="longer texts are read off the event loop")
    sensitivity: SensitivityConfig = SensitivityConfig()


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

    @field_validator("capabilities")
    @classmethod
    def _text_only(cls, value: frozenset[Capability]) -> frozenset[Capability]:
        if media := value & {"vision", "audio"}:
            raise ValueError(f"engines take text only: {min(media)} is for lanes of kind openai or anthropic")
        return value


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
    def _device_is_loopback(self) -> "HttpLane":
        host = urlsplit(self.url or "").hostname or ""
        if self.url and urlsplit(self.url).scheme not in {"http", "https"}:
            raise ValueError(f"base_url must be http:// or https://, not {self.url!r}")
        if self.location == "device" and self.url and not _is_loopback(host):
            raise ValueError(f"location is device but base_url names {host!r}, which is not this machine")
        if self.location == "private" and _is_foreign(host):
            raise ValueError(f"location is private but base_url names {host!r}, which is somebody else's")
        return self


Lane = Annotated[EngineLane | HttpLane, Field(discriminator="kind")]


class When(Strict):
    """Conditions of a rule; all that are given must hold."""

    input_tokens_over: int | None = Field(None, ge=0)
    constraints_over: int | None = Field(None, ge=0)
    difficulty: frozenset[Difficulty] | None = None
    confidence_at_least: float | None = Field(None, ge=0, le=1)
    gain_at_least: float | None = Field(
        None, ge=0, le=1, description="probability that a strong model is right where a weak one is wrong"
    )
    task: frozenset[TaskType] | None = None
    tools: bool | None = None
    structured: bool | None = None
    stakes: frozenset[Stakes] | None = None
    latency: frozenset[Latency] | None = None
    ceiling_below_usd: Usd | None = Field(
        None, description="the request may cost less than this at most; one without a ceiling may not"
    )


class Rule(Strict):
    """One routing rule: the first whose conditions hold chooses which lanes come first, and says why."""

    name: Name
    when: When = When()
    prefer: tuple[Name, ...] = Field(
        min_length=1, description="lanes to try first; the others follow in order"
    )
    tier: Tier | Literal["table"] | None = Field(
        None,
        description="lanes of this tier first, then stronger, then weaker ones, each in the order of `prefer`; "
        "table: the tier is that of the row for the task in policy.table",
    )
    because: str = Field(min_length=8)


class ReviewWhen(When):
    """Conditions of a review: those of a rule, and the class of the data."""

    class_at_least: Literal["public", "internal", "confidential"] | None = None

    @property
    def level(self) -> Sensitivity:
        """The lowest class it holds for."""
        return Sensitivity.parse(self.class_at_least or "public")


class ReviewRule(Strict):
    """Whose answers a person must approve before anybody gets them: the first whose conditions hold."""

    name: Name
    when: ReviewWhen = ReviewWhen()
    because: str = Field(min_length=8)


class PolicyConfig(Strict):
    """Which class may go where, the rules in order, and whose answers a person must see first."""

    locations: dict[str, frozenset[Location]] = Field(
        default={
            "public": frozenset({"device", "private", "eu", "global"}),
            "internal": frozenset({"device", "private", "eu"}),
            "confidential": ON_PREMISES,
        }
    )
    overrides: bool = Field(True, description="clients may steer by model name, header and prefix")
    rules: tuple[Rule, ...] = Field(min_length=1)
    table: RoutingTable | None = Field(
        None, description="or the path of its file, relative to this one; rules with `tier: table` read it"
    )
    review: tuple[ReviewRule, ...] = Field((), description="answers that are held until a reviewer approves")

    @field_validator("locations")
    @classmethod
    def _fail_closed(cls, value: dict[str, frozenset[Location]]) -> dict[str, frozenset[Location]]:
        if missing := {level.label for level in Sensitivity} ^ value.keys():
            raise ValueError(
                f"needs exactly public, internal and confidential; wrong or missing: {sorted(missing)}"
            )
        if cloud := value["confidential"] - ON_PREMISES:
            raise ValueError(f"confidential data may never go to {sorted(cloud)}")
        if not value["confidential"] <= value["internal"] <= value["public"]:
            raise ValueError("a stricter class may not be allowed where a looser one is not")
        return value

    @model_validator(mode="after")
    def _ends_with_a_default(self) -> "PolicyConfig":
        if self.rules[-1].when != When():
            raise ValueError(
                f"the last rule ({self.rules[-1].name}) must have no conditions: it is the default"
            )
        return self

    @model_validator(mode="after")
    def _table_is_read(self) -> "PolicyConfig":
        readers = [rule.name for rule in self.rules if rule.tier == "table"]
        if readers and self.table is None:
            raise ValueError(f"rule {readers[0]} has tier: table, and there is no table: set policy.table")
        if self.table is not None and not readers:
            raise ValueError("table: no rule has tier: table, so nothing would read it")
        return self

    def permits(self, level: Sensitivity) -> frozenset[Location]:
        """Where data of this class may be answered."""
        return self.locations[level.label]


class RetryConfig(Strict):
    """How many attempts there may be beyond the first of each request, per router."""

    share: float = Field(0.2, ge=0, le=1, description="further attempts per request, over the window")
    floor: int = Field(30, ge=0, description="further attempts per window that are allowed in any case")
    window_s: float = Field(10, gt=0)


class EjectionConfig(Strict):
    """When a lane is tried last, and for how long: `cooldown_s` times the number of its ejections."""

    failures: int = Field(5, ge=1, description="so many in a row eject a lane; slow answers count apart")
    share: float = Field(0.5, gt=0, le=1, description="failed share of the window that ejects a lane")
    at_least: int = Field(20, ge=1, description="answers in the window before the share says anything")
    window_s: float = Field(
        30, gt=0, description="window of the share; a well lane loses one ejection per window"
    )
    longest_s: float = Field(300, gt=0)
    slow_factor: float = Field(20, gt=1, description="brown-out: so many times slower than the lane's median")
    slow_s: float = Field(1, gt=0, description="what is faster than this is never a brown-out")


class OverflowConfig(Strict):
    """When requests come back to an engine that was full."""

    low: float = Field(
        0.5, ge=0, le=1, description="share of the queue wait that is accepted while it overflows"
    )
    dwell_s: float = Field(30, ge=0, description="it overflows until nothing had to spill for so long")


class DispatchConfig(Strict):
    """How long to wait for whom. Seconds."""

    deadline_s: float = Field(300, gt=0, description="the whole request, all attempts together")
    first_token_s: float = Field(60, gt=0, description="first content of a stream, once a lane took the call")
    idle_s: float = Field(30, gt=0, description="gap between two chunks of a stream")
    unary_s: float = Field(180, gt=0, description="an answer in one piece, once a lane took the call")
    queue_wait_s: float = Field(
        0.5, gt=0, description="interactive (stream): wait until a lane takes the call while others are left"
    )
    queue_wait_unary_s: float = Field(3, gt=0, description="the same for answers in one piece")
    last_wait_s: float = Field(
        30, gt=0, description="the same where nobody else is left, as for confidential data"
    )
    max_waiting: int = Field(
        64, ge=0, description="requests that wait beside a full queue; more get 503 at once"
    )
    down_wait_s: float = Field(1, gt=0, description="patience with an engine without replicas, or on trial")
    cooldown_s: float = Field(5, ge=0, description="how long a lane is tried last after its first ejection")
    hedge_after_s: float | None = Field(
        None, gt=0, description="stream without content after this: start the next lane too; null: never"
    )
    retries: RetryConfig = RetryConfig()
    ejection: EjectionConfig = EjectionConfig()
    overflow: OverflowConfig = OverflowConfig()


class StateConfig(Strict):
    """The database of what must outlive a process: budgets, the audit log, reviews, kept responses."""

    url: str | EnvRef | FileRef | None = Field(
        None,
        description="sqlite:////absolute/path or postgresql://…; None: pointsman/state.db in the XDG state directory",
    )

    def resolve(self) -> str | None:
        """The URL now, None for the default database."""
        return self.url.resolve() if isinstance(self.url, EnvRef | FileRef) else self.url


class Config(Strict):
    """Everything about one Pointsman."""

    profile: Literal["core", "cpu", "gpu"] = Field("core", description="which packages `make run` installs")
    server: ServerConfig = ServerConfig()
    keys: KeysConfig = KeysConfig()
    limits: LimitsConfig = LimitsConfig()
    state: StateConfig = StateConfig()
    audit: AuditConfig = AuditConfig()
    reviews: ReviewsConfig = ReviewsConfig()
    responses: ResponsesConfig = ResponsesConfig()
    metrics: MetricsConfig = MetricsConfig()
    outcomes: OutcomesConfig = OutcomesConfig()
    engines: dict[Name, EngineConfig] = Field(default_factory=dict)
    scout: ScoutConfig | None = None
    signals: SignalsConfig = SignalsConfig()
    lanes: tuple[Lane, ...] = Field(min_length=1)
    policy: PolicyConfig
    dispatch: DispatchConfig = DispatchConfig()
    prices: Prices = Field(Prices(), description="or the path of a file of them, relative to this one")
    budgets: BudgetsConfig = BudgetsConfig()

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> "Config":
        names = [lane.name for lane in self.lanes]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"lanes: {min(doubled)!r} is defined twice")
        for lane in self.lanes:
            if isinstance(lane, EngineLane) and lane.engine not in self.engines:
                raise ValueError(f"lanes.{lane.name}.engine: no engine is called {lane.engine!r}")
        for rule in self.policy.rules:
            if unknown := [name for name in rule.prefer if name not in names]:
                raise ValueError(f"policy.rules.{rule.name}.prefer: no lane is called {unknown[0]!r}")
        return self

    @model_validator(mode="after")
    def _baseline_exists(self) -> "Config":
        name = self.outcomes.baseline
        if name is not None and name not in {lane.name for lane in self.lanes}:
            raise ValueError(f"outcomes.baseline: no lane is called {name!r}")
        return self

    @model_validator(mode="after")
    def _open_only_on_loopback(self) -> "Config":
        if self.keys.mode == "open" and not _is_loopback(self.server.host):
            raise ValueError(
                f"keys.mode: open lets everybody in, so server.host must be a loopback address, "
                f"not {self.server.host!r}: use keys.mode: required"
            )
        return self

    @model_validator(mode="after")
    def _every_lane_is_reachable(self) -> "Config":
        public = self.policy.permits(Sensitivity.PUBLIC)
        for lane in self.lanes:
            if lane.location not in public:
                raise ValueError(
                    f"lanes.{lane.name}: no data class may go to {lane.location!r}: nobody can reach it"
                )
        idle = self.engines.keys() - {lane.engine for lane in self.lanes if isinstance(lane, EngineLane)}
        if idle:
            raise ValueError(f"engines.{min(idle)}: no lane uses it")
        return self

    @model_validator(mode="after")
    def _every_provider_is_priced(self) -> "Config":
        listed = self.prices.lanes.keys()
        for lane in self.lanes:
            priced = lane.price or lane.name in listed or (lane.kind != "engine" and lane.model in listed)
            if lane.location not in ON_PREMISES and not priced and self.prices.unlisted is None:
                raise ValueError(
                    f"lanes.{lane.name}: costs money, and no price says how much: set its price, or prices.lanes"
                )
        return self

    @cached_property
    def version(self) -> str:
        """sha256 of `canonical`: two equal versions decide alike. Secrets are not part of it."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    @cached_property
    def canonical(self) -> str:
        """The whole configuration as JSON that is the same in every process: sets and keys are sorted."""
        return json.dumps(self.model_dump(), sort_keys=True, default=_canonical)

    def declared(self, keys_file: Path | None = None) -> "Config":
        """The same where Serve chooses the address: keys are required, and may come from a file named outside.

        Raises pydantic's ValidationError for a relative `keys_file`.
        """
        source = {"file": keys_file, "url": None} if keys_file else {}
        keys = KeysConfig.model_validate(self.keys.model_dump() | source | {"mode": "required"})
        return Config.model_validate(
            {name: getattr(self, name) for name in Config.model_fields} | {"keys": keys}
        )

    def lane(self, name: str) -> EngineLane | HttpLane:
        """The lane called `name`. Raises KeyError."""
        return next((lane for lane in self.lanes if lane.name == name), None) or _missing(name)


def _canonical(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def _missing(name: str) -> EngineLane | HttpLane:
    raise KeyError(name)


def _is_loopback(host: str) -> bool:
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


def load(path: Path | str) -> Config:
    """Read and check one file. Raises ConfigError that names the file, the field and the fault."""
    return parse(yaml_file.read(path), path)


def parse(content: bytes, source: Path | str) -> Config:
    """Check the bytes of one file. Raises ConfigError that names `source`, the field and the fault."""
    return checked(raw(content, source), source)


def raw(content: bytes, source: Path | str) -> object:
    """The values of one file, with the files that it names in their places. Raises ConfigError."""
    return routing_table.inlined(inlined(yaml_file.parse(content, source), source), source)


def checked(values: object, source: Path | str) -> Config:
    """Check values that may be a configuration. Raises ConfigError."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(mistakes(source, error)) from error


def mistakes(source: Path | str, error: ValidationError) -> str:
    """Every mistake with the path of its field, and never a value: it may be a secret in a wrong place."""
    lines = [f"{source}: {error.error_count()} mistake(s)"]
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        lines.append(f"  {where}: {item['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
