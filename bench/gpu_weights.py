"""A model's weights at 4, 8, 16 or 32 bits, on a GPU or, plainly, on the processor. Measures nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

DTYPES = {32: "float32", 16: "bfloat16", 8: "int8", 4: "nf4"}


@dataclass(frozen=True, slots=True)
class Weights:
    """A model ready for a forward pass. `memory_mib`: its parameters and buffers."""

    model: Any
    device: str
    bits: int
    dtype: str
    memory_mib: int


def weights(folder: Path, bits: int, device: str, *, causal: bool) -> Weights:
    """The model of `folder`. Raises ValueError where `bits` or `device` cannot be had here, OSError for no model."""
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    from models.scout.causal import quantized

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch sees no NVIDIA GPU: try --device cpu")
    if bits in (4, 8) and device != "cuda":
        raise ValueError(
            "4 and 8 bits are bitsandbytes' kernels, which are measured on a GPU only: --bits 16 or 32"
        )
    kind: Any = AutoModelForCausalLM if causal else AutoModel
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    if bits in (4, 8):
        options |= {"quantization_config": quantized(8 if bits == 8 else 4), "device_map": device}
    else:
        options |= {"dtype": getattr(torch, DTYPES[bits])}
    model = kind.from_pretrained(folder, **options).eval()
    if bits in (16, 32):
        model = model.to(device)
    return Weights(model, device, bits, DTYPES[bits], int(model.get_memory_footprint()) >> 20)


def sync(device: str) -> None:
    """Wait until the device has done what it was given."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
