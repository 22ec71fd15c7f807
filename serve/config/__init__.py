"""The one YAML file that describes a Pointsman: read, checked as a whole, then never changed.

Knows what a right configuration is. Does not start anything.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from serve import routing_table, yaml_file
from serve.audit.config import AuditConfig
from serve.cache.config import CacheConfig
from serve.config.dispatch import ConfidenceConfig, DispatchConfig, OverflowConfig, RetryConfig
from serve.config.engines import Autoscaling, EngineAutoscaling, EngineConfig, ScoutConfig
from serve.config.lanes import (
    ON_PREMISES,
    SWITCHED_OFF,
    EncoderLane,
    EngineLane,
    HttpLane,
    Lane,
    LaneSwitch,
    Location,
    is_loopback,
)
from serve.config.policy import PolicyConfig, Rule, When
from serve.config.server import ServerConfig, StateConfig
from serve.config.signals import SensitivityConfig, SignalsConfig
from serve.config.strict import EnvRef, FileRef, Name, Strict
from serve.errors import ConfigError
from serve.keys.config import KeysConfig, LimitsConfig
from serve.learning.config import LearningConfig
from serve.ledger.config import BudgetsConfig, Prices, inlined
from serve.metrics.config import MetricsConfig
from serve.outcomes.config import OutcomesConfig
from serve.preambles.config import Preamble
from serve.reviews.config import ReviewsConfig
from serve.routing_table import RoutingTable
from serve.sessions.config import SessionsConfig
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity.levels import LEVELS
from serve.surfaces.responses.config import ResponsesConfig
from serve.sweeps.config import JudgeConfig, SweepsConfig
from serve.tracing.config import TracingConfig


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
    sessions: SessionsConfig = SessionsConfig()
    cache: CacheConfig = CacheConfig()
    metrics: MetricsConfig = MetricsConfig()
    tracing: TracingConfig = TracingConfig()
    outcomes: OutcomesConfig = OutcomesConfig()
    learning: LearningConfig = LearningConfig()
    sweeps: SweepsConfig = SweepsConfig()
    judge: JudgeConfig = JudgeConfig()
    engines: dict[Name, EngineConfig] = Field(default_factory=dict)
    scout: ScoutConfig | None = None
    signals: SignalsConfig = SignalsConfig()
    lanes: tuple[Lane, ...] = Field(min_length=1)
    policy: PolicyConfig
    dispatch: DispatchConfig = DispatchConfig()
    preambles: tuple[Preamble, ...] = ()
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
            if embedding := [name for name in rule.prefer if self.lane(name).embeddings]:
                raise ValueError(
                    f"policy.rules.{rule.name}.prefer: {embedding[0]!r} makes embeddings, which follow no rules"
                )
        return self

    @model_validator(mode="after")
    def _baseline_exists(self) -> "Config":
        name = self.outcomes.baseline
        if name is not None and name not in {lane.name for lane in self.lanes}:
            raise ValueError(f"outcomes.baseline: no lane is called {name!r}")
        return self

    @model_validator(mode="after")
    def _reasks_at_home(self) -> "Config":
        name = self.dispatch.reask.lane
        if name is None:
            return self
        lane = next((lane for lane in self.lanes if lane.name == name), None)
        if lane is None:
            raise ValueError(f"dispatch.reask.lane: no lane is called {name!r}")
        if lane.location not in ON_PREMISES:
            raise ValueError(f"dispatch.reask.lane: {name} is not on the premises")
        return self

    @model_validator(mode="after")
    def _background_work_can_be_kept(self) -> "Config":
        name = self.judge.lane
        if name is not None and name not in {lane.name for lane in self.lanes}:
            raise ValueError(f"judge.lane: no lane is called {name!r}")
        for section, on in (("sweeps.enabled", self.sweeps.enabled), ("judge.lane", name is not None)):
            if on and not self.outcomes.enabled:
                raise ValueError(f"{section}: outcomes.enabled is false, so no result could be kept")
        if self.sweeps.enabled and len({lane.tier for lane in self.lanes}) < 2:
            raise ValueError("sweeps.enabled: all lanes have one tier, so there is no tier below")
        return self

    @model_validator(mode="after")
    def _preambles_stay_here(self) -> "Config":
        here = {lane.name for lane in self.lanes if lane.location in ON_PREMISES}
        names = [preamble.name for preamble in self.preambles]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"preambles: {min(doubled)!r} is defined twice")
        for preamble in self.preambles:
            if wrong := sorted((preamble.lanes or frozenset()) - here):
                raise ValueError(
                    f"preambles.{preamble.name}.lanes: {wrong[0]!r} is no lane on device or private: what a client "
                    f"writes is never changed for another one"
                )
        return self

    @model_validator(mode="after")
    def _open_only_on_loopback(self) -> "Config":
        if self.keys.mode == "open" and not is_loopback(self.server.host):
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

    @property
    def encoders(self) -> tuple[EncoderLane, ...]:
        """The lanes that make embeddings with weights of this machine."""
        return tuple(lane for lane in self.lanes if isinstance(lane, EncoderLane))

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

    def with_table(self, table: RoutingTable) -> "Config":
        """The same with another routing table."""
        policy = self.policy.model_copy(update={"table": table})
        return Config.model_validate(
            {name: getattr(self, name) for name in Config.model_fields} | {"policy": policy}
        )

    def lane(self, name: str) -> Lane:
        """The lane called `name`. Raises KeyError."""
        return next((lane for lane in self.lanes if lane.name == name), None) or _missing(name)


def _canonical(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def _missing(name: str) -> Lane:
    raise KeyError(name)


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
    """Every mistake with the path of its field, and never a value: it may be a secret in a wrong place.

    Where the operator's own words belong a key may be one in a wrong place too, so those that are not ours are `*`.
    """
    lines = [f"{source}: {error.error_count()} mistake(s)"]
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(_shown(item["loc"])) or "(whole file)"
        lines.append(f"  {where}: {item['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)


_OWN_WORDS = (("signals", "sensitivity"), ("preambles",))
_OURS = frozenset(
    {*SensitivityConfig.model_fields, *Preamble.model_fields, *LEVELS, "internal", "confidential", "[key]"}
)
_KEYED = frozenset({"sensitivity", *SensitivityConfig.model_fields})
"""What is directly below these is a key, a number too."""


def _shown(loc: tuple[int | str, ...]) -> Iterator[str]:
    ours = next((len(path) for path in _OWN_WORDS if loc[: len(path)] == path), len(loc))
    for i, part in enumerate(loc):
        position = isinstance(part, int) and loc[i - 1] not in _KEYED
        yield str(part) if i < ours or position or part in _OURS else "*"


__all__ = [
    "ON_PREMISES",
    "SWITCHED_OFF",
    "Autoscaling",
    "ConfidenceConfig",
    "Config",
    "DispatchConfig",
    "EncoderLane",
    "EngineAutoscaling",
    "EngineConfig",
    "EngineLane",
    "EnvRef",
    "FileRef",
    "HttpLane",
    "Lane",
    "LaneSwitch",
    "Location",
    "Name",
    "OverflowConfig",
    "PolicyConfig",
    "RetryConfig",
    "Rule",
    "ScoutConfig",
    "SensitivityConfig",
    "ServerConfig",
    "SignalsConfig",
    "Strict",
    "When",
    "checked",
    "load",
    "mistakes",
    "parse",
    "raw",
]
