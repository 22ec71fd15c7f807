"""The memory planner: do a model's weights, its KV cache and a Scout fit on one kind of GPU, and for how many requests.

Counts from a model's config.json. Loads nothing and asks no GPU. Sizes are bytes unless a name says otherwise.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve.errors import ConfigError

GIB = 1 << 30
GB = 10**9
BITS = {"none": 16, "fp8": 8, "int8": 8, "awq": 4, "gptq": 4, "bitsandbytes": 4, "q8_0": 8.5, "q4_k_m": 4.85}
"""Bits of one weight of a linear layer, by quantization; scales are counted apart where they are not in it."""
GROUP = 128  # weights that share a 16-bit scale (and, for awq and gptq, a 4-bit zero point)
USABLE = 0.94  # of what the label says: driver, ECC and the CUDA context have the rest
LEAST = GB  # bytes of a card that can hold anything
BLOCK = 16  # tokens of one of vLLM's KV blocks

Quantization = Literal["none", "fp8", "int8", "awq", "gptq", "bitsandbytes", "q8_0", "q4_k_m"]


class Shape(BaseModel):
    """A dense decoder's config.json, as far as its size depends on it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int | None = Field(None, gt=0)
    head_dim: int | None = Field(None, gt=0)
    vocab_size: int = Field(gt=0)
    tie_word_embeddings: bool = False
    model_type: str = ""
    num_experts: int | None = None
    num_local_experts: int | None = None
    quantization_config: dict[str, object] | None = None

    @property
    def kv_heads(self) -> int:
        """Heads whose keys and values are kept."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head(self) -> int:
        """Numbers in one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def linear(self) -> int:
        """Weights in the linear layers of all blocks: what a quantization makes smaller."""
        attention = self.hidden_size * self.head * (2 * self.num_attention_heads + 2 * self.kv_heads)
        return self.num_hidden_layers * (attention + 3 * self.hidden_size * self.intermediate_size)

    @property
    def rest(self) -> int:
        """Embeddings, head, norms and biases: kept in 16 bits."""
        tables = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return tables + self.hidden_size * (2 * self.num_hidden_layers + 1)


def _shape(
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    kv: int,
    vocab: int,
    *,
    tied: bool = False,
    head: int | None = None,
) -> Shape:
    return Shape(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv,
        vocab_size=vocab,
        tie_word_embeddings=tied,
        head_dim=head,
    )


KNOWN = {
    "qwen2.5-0.5b": _shape(896, 4864, 24, 14, 2, 151936, tied=True),
    "qwen2.5-1.5b": _shape(1536, 8960, 28, 12, 2, 151936, tied=True),
    "qwen2.5-3b": _shape(2048, 11008, 36, 16, 2, 151936, tied=True),
    "qwen2.5-7b": _shape(3584, 18944, 28, 28, 4, 152064),
    "qwen2.5-14b": _shape(5120, 13824, 48, 40, 8, 152064),
    "qwen2.5-32b": _shape(5120, 27648, 64, 40, 8, 152064),
    "qwen2.5-72b": _shape(8192, 29568, 80, 64, 8, 152064),
    "qwen3-8b": _shape(4096, 12288, 36, 32, 8, 151936, head=128),
    "qwen3-14b": _shape(5120, 17408, 40, 40, 8, 151936, head=128),
    "qwen3-32b": _shape(5120, 25600, 64, 64, 8, 151936, head=128),
    "llama-3.1-8b": _shape(4096, 14336, 32, 32, 8, 128256),
    "llama-3.1-70b": _shape(8192, 28672, 80, 64, 8, 128256),
    "llama-3.3-70b": _shape(8192, 28672, 80, 64, 8, 128256),
    "mistral-7b": _shape(4096, 14336, 32, 32, 8, 32768),
}
"""Well-known models without their config.json; a hub name that contains one of these names is one of them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be planned. `gpu` is one card; `scout` is what something beside the engine takes of it."""

    gpu: int
    shape: Shape
    quantization: Quantization
    context: int
    tensor_parallel: int = 1
    scout: int = 0
    batched_tokens: int = 2048
    kv_bits: int = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """Where each card's memory goes, and what is left for answers. Bytes of one card."""

    usable: int
    weights: int
    work: int
    scout: int
    kv_per_token: int
    context: int

    @property
    def kv(self) -> int:
        """Left for the KV cache; below zero where not even the weights fit."""
        return self.usable - self.weights - self.work - self.scout

    @property
    def tokens(self) -> int:
        """Tokens the cache holds, in whole blocks."""
        return max(0, self.kv) // (self.kv_per_token * BLOCK) * BLOCK

    @property
    def requests(self) -> int:
        """Requests at once, when every one of them is as long as the context allows."""
        return self.tokens // (math.ceil(self.context / BLOCK) * BLOCK)

    @property
    def fits(self) -> bool:
        """Whether one request of full length can be answered."""
        return self.requests >= 1


def plan(wish: Wish) -> Plan:
    """Where the memory of one card goes.

    Raises ConfigError for a card without memory, and when the model cannot be shared by so many cards.
    """
    shape, cards = wish.shape, wish.tensor_parallel
    if wish.gpu < LEAST:
        raise ConfigError(f"a GPU of {wish.gpu} bytes is none: write 24GB or 22.5GiB")
    if shape.num_attention_heads % cards:
        raise ConfigError(f"{shape.num_attention_heads} attention heads cannot be shared by {cards} GPUs")
    return Plan(
        usable=int(wish.gpu * USABLE),
        weights=weights(shape, wish.quantization) // cards,
        work=work_space(shape, wish.batched_tokens),
        scout=wish.scout,
        kv_per_token=kv_per_token(shape, cards, wish.kv_bits),
        context=wish.context,
    )


def weights(shape: Shape, quantization: Quantization) -> int:
    """The weights of a whole model on its cards."""
    bits = BITS[quantization] + {"awq": 20 / GROUP, "gptq": 20 / GROUP, "bitsandbytes": 0.5}.get(
        quantization, 0
    )
    return int(shape.linear * bits / 8) + 2 * shape.rest


def kv_per_token(shape: Shape, cards: int = 1, bits: int = 16) -> int:
    """Keys and values of one token in all layers, on one of `cards`; heads are copied where there are too few."""
    return 2 * shape.num_hidden_layers * math.ceil(shape.kv_heads / cards) * shape.head * bits // 8


def work_space(shape: Shape, batched_tokens: int) -> int:
    """What a forward pass of `batched_tokens` takes besides: activations, sampling, CUDA graphs. An estimate."""
    activations = batched_tokens * (2 * shape.intermediate_size + 4 * shape.hidden_size) * 2
    return int(1.0 * GIB) + activations + 256 * shape.vocab_size * 4 * 2


def shape_of(name: str) -> Shape:
    """The shape of a folder with config.json, or of a well-known model. Raises ConfigError."""
    folder = Path(name)
    if name.strip() and folder.is_dir():
        return _read(folder / "config.json")
    found = max((known for known in KNOWN if _words(known) in _words(name)), key=len, default=None)
    if found is None:
        raise ConfigError(
            f"{name}: no such folder, and no well-known model: name a folder with config.json, or one of "
            f"{', '.join(KNOWN)}"
        )
    return KNOWN[found]


def quantization_of(name: str, shape: Shape) -> Quantization:
    """How a checkpoint is quantized, by its config.json or by its name; `none` where neither says."""
    own = shape.quantization_config or {}
    text = f"{own.get('quant_method', '')} {own.get('bits', '')} {Path(name).name}".lower()
    marks: dict[str, Quantization] = {
        "awq": "awq",
        "gptq": "gptq",
        "w8a8": "int8",
        "int8": "int8",
        "fp8": "fp8",
    }
    return next((kind for mark, kind in marks.items() if mark in text), "none")


def size(text: str) -> int:
    """Bytes of `24GB` or `22.5GiB`. Raises ConfigError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(GB|GiB|MB|MiB)?\s*", text, re.IGNORECASE)
    if not found:
        raise ConfigError(f"{text!r} is no size: write 24GB or 22.5GiB")
    unit = {"gb": GB, "gib": GIB, "mb": 10**6, "mib": 1 << 20}[(found[2] or "GB").lower()]
    return int(float(found[1]) * unit)


def _read(path: Path) -> Shape:
    try:
        shape = Shape.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        why = (
            f"{error.error_count()} fields are missing or wrong"
            if isinstance(error, ValidationError)
            else error
        )
        raise ConfigError(f"{path}: not the config.json of a dense decoder: {why}") from error
    if shape.num_experts or shape.num_local_experts:
        raise ConfigError(f"{path}: a mixture of experts, which this planner cannot count")
    return shape


def _words(name: str) -> str:
    return re.sub(r"[-_/ ]", "", name.lower())
