"""The engines and the Scout: which weights they run, and on how many replicas."""

from typing import Literal

from pydantic import Field, JsonValue, model_validator

from serve.config.strict import Strict


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
    replica_choice: Literal["least_busy", "conversation"] = Field(
        "least_busy",
        description="conversation: the calls of one conversation go to one replica while it has room, for its cache",
    )
    vllm: dict[str, JsonValue] = Field(default_factory=dict, description="vLLM engine and frontend arguments")

    @model_validator(mode="after")
    def _scales_before_it_spills(self) -> "EngineConfig":
        if self.autoscaling:
            self.autoscaling.require_headroom(self.max_ongoing_requests)
        if forbidden := {"trust_remote_code", "model", "host", "port"} & self.vllm.keys():
            raise ValueError(f"vllm.{min(forbidden)} may not be set")
        return self


ENCODER = "all-minilm-l6-v2"
CAUSAL_LM = "qwen2.5-coder-0.5b-instruct"
OWN_MODELS = {"encoder": ENCODER, "causal_lm": CAUSAL_LM}
"""Of each back end of the Scout the model that the shipped head belongs to."""


class ScoutConfig(Strict):
    """The Scout deployment; leave the section out to route with the in-process pre-scout alone."""

    backend: Literal["encoder", "causal_lm"] = Field(
        "encoder",
        description="encoder: a sentence encoder and a linear head; causal_lm: label logits of an instruct model",
    )
    model: str = Field(
        ENCODER,
        description="a name in models/lock.toml or a folder; of causal_lm by default qwen2.5-coder-0.5b-instruct",
    )
    head: str | None = Field(
        None,
        description="the file of the trained head; must be given for any model but the back end's own",
    )
    bits: Literal[4, 8, 16] = Field(
        4,
        description="causal_lm on a GPU: bits of a weight (4, 8: bitsandbytes); the CPU takes them as they are",
    )
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

    @model_validator(mode="before")
    @classmethod
    def _model_of_the_backend(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("backend") == "causal_lm":
            return {"model": CAUSAL_LM, **given}
        return given

    @model_validator(mode="after")
    def _has_a_head(self) -> "ScoutConfig":
        if self.head is None and self.model != OWN_MODELS[self.backend]:
            raise ValueError(
                f"no head for {self.model} is shipped: train one (docs/policy.md, The Scout) and name it in scout.head"
            )
        return self

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
