"""The settings that are tried: each differs from the configured engine by what its name says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from models.rounded import Kind
from serve.config import EngineConfig


@dataclass(frozen=True, slots=True)
class Variant:
    """`vllm` replaces arguments of vLLM; `weights` rounds them; `avx2` hides everything newer of the processor.

    environment  variables of the engine's processes instead of those of `serve.engine`; None: without it
    """

    name: str
    vllm: Mapping[str, JsonValue] = field(default_factory=dict)
    threads: int | None = None
    weights: Kind | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    avx2: bool = False

    def of(self, engine: EngineConfig, model: str) -> EngineConfig:
        """The engine with these settings, on the weights in `model`."""
        changed = {"model": model, "vllm": engine.vllm | dict(self.vllm)}
        return engine.model_copy(update=changed | ({"threads": self.threads} if self.threads else {}))


TWO_PROCESSES: dict[str, str | None] = {"VLLM_ENABLE_V1_MULTIPROCESSING": None}
TORCHS: dict[str, str | None] = {"LD_PRELOAD": None, "KMP_BLOCKTIME": None, "KMP_TPAUSE": None}
# A prompt that may not be cut has to fit into one step.
WHOLE_PROMPTS: dict[str, JsonValue] = {"enable_chunked_prefill": False, "max_num_batched_tokens": 8192}
VARIANTS = (
    Variant("as configured"),
    Variant("float32", {"dtype": "float32"}),
    Variant("one thread", threads=1),
    Variant("4 at a time", {"max_num_seqs": 4}),
    Variant("16 at a time", {"max_num_seqs": 16}),
    Variant("prompts in parts of 256", {"max_num_batched_tokens": 256}),
    Variant("prompts in parts of 2048", {"max_num_batched_tokens": 2048}),
    Variant("prompts in parts of 8192", {"max_num_batched_tokens": 8192}),
    Variant("prompts never in parts", WHOLE_PROMPTS),
    Variant("no prefix cache", {"enable_prefix_caching": False}),
    Variant("compiled", {"enforce_eager": False}),
    Variant("int8 weights and activations", weights="int8"),
    Variant("int4 weights", weights="int4"),
    Variant("scheduled in another process", environment=TWO_PROCESSES),
    Variant("torch's own OpenMP", environment=TORCHS),
    Variant("two processes on torch's OpenMP", environment=TWO_PROCESSES | TORCHS),
    Variant("threads bound to cores", environment={"KMP_AFFINITY": "granularity=fine,compact"}),
    Variant("AVX2 with float32", {"dtype": "float32"}, avx2=True),
    Variant("AVX2 with int8", {"dtype": "float32"}, weights="int8", avx2=True),
    Variant("as configured again"),
)
