"""A copy of a model whose linear layers are rounded to 8 or 4 bits, in the layout of compressed-tensors.

Round to nearest, no calibration: what can be done with weights alone. int8 has one scale per output channel, and
vLLM rounds the activations of each token as well (W8A8); int4 has one scale per 32 weights and activations as they
are (W4A16). The embedding and the output layer stay as they are: vLLM rounds neither. It does not know who serves it.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from models.errors import ConvertFailed

Kind = Literal["int8", "int4"]
GROUP = 32
LINEAR = "_proj.weight"
FAST = ("avx512_vnni", "amx_int8")
"""Flags of a processor on which int8 is faster; with AVX2 alone it is slower than float32 (docs/benchmarks.md)."""


def rounded(model: Path, kind: Kind, into: Path) -> Path:
    """Make `into`, a folder that was not there or is empty, from `model`, a folder of safetensors.

    Raises ConvertFailed. It appears whole or not at all.
    """
    settings = _settings(model)
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ConvertFailed(f"{into} is there already; name a folder that is not")
    fresh = into.with_name(f"{into.name}.rounding")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        for path in model.iterdir():
            if path.suffix != ".safetensors" and path.name not in (
                "manifest.json",
                "model.safetensors.index.json",
            ):
                shutil.copy(path, fresh / path.name)
        _write_weights(model, kind, fresh / "model.safetensors")
        told = json.dumps(settings | {"quantization_config": _layout(kind)}, indent=2)
        (fresh / "config.json").write_text(told, encoding="utf-8")
        fresh.replace(into)
    except OSError as error:
        raise ConvertFailed(f"{into} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return into


def pays() -> bool:
    """Whether int8 is faster on this processor; True where nothing is known of it."""
    flags = Path("/proc/cpuinfo")
    return not flags.is_file() or any(name in flags.read_text(encoding="utf-8") for name in FAST)


def _settings(model: Path) -> dict[str, Any]:
    try:
        settings = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConvertFailed(f"{model} is no folder of a model: its config.json cannot be read") from error
    if not isinstance(settings, dict) or "quantization_config" in settings:
        raise ConvertFailed(f"{model} cannot be rounded: its weights are already")
    if not any(model.glob("*.safetensors")):
        raise ConvertFailed(f"{model} cannot be rounded: it holds no safetensors")
    return settings


def _write_weights(model: Path, kind: Kind, target: Path) -> None:
    try:
        from safetensors.torch import load_file, save_file  # torch is slow to import, and only this needs it
    except ImportError as error:
        raise ConvertFailed("rounding needs torch: run make setup PROFILE=cpu") from error
    weights: dict[str, Any] = {}
    linear = 0
    for path in sorted(model.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            is_linear = name.endswith(LINEAR) and tensor.dim() == 2
            linear += is_linear
            weights |= (_int8 if kind == "int8" else _int4)(name, tensor) if is_linear else {name: tensor}
    if not linear:
        raise ConvertFailed(f"{model} cannot be rounded: none of its weights is called *{LINEAR}")
    save_file(weights, target, metadata={"format": "pt"})


def _int8(name: str, tensor: Any) -> dict[str, Any]:
    import torch

    exact = tensor.float()
    scale = (exact.abs().amax(1, keepdim=True) / 127).clamp(min=1e-8)
    whole = (exact / scale).round().clamp(-128, 127).to(torch.int8)
    return {name: whole, f"{name}_scale": scale.to(torch.bfloat16)}


def _int4(name: str, tensor: Any) -> dict[str, Any]:
    import torch
    from compressed_tensors.compressors.pack_quantized.helpers import (  # type: ignore[import-untyped]
        pack_to_int32,
    )

    rows, columns = tensor.shape
    exact = tensor.float().view(rows, columns // GROUP, GROUP)
    scale = (exact.abs().amax(2, keepdim=True) / 7.5).clamp(min=1e-8)
    whole = (exact / scale).round().clamp(-8, 7).to(torch.int8).view(rows, columns)
    return {
        f"{name}_packed": pack_to_int32(whole, 4),
        f"{name}_scale": scale.squeeze(2).to(torch.bfloat16),
        f"{name}_shape": torch.tensor([rows, columns]),
    }


def _layout(kind: Kind) -> dict[str, Any]:
    """`quantization_config` as vLLM reads it (compressed-tensors, config_groups)."""
    common: dict[str, Any] = {"type": "int", "symmetric": True, "dynamic": False}
    if kind == "int8":
        weights = common | {"num_bits": 8, "strategy": "channel"}
        activations: dict[str, Any] | None = common | {"num_bits": 8, "strategy": "token", "dynamic": True}
    else:
        weights = common | {"num_bits": 4, "strategy": "group", "group_size": GROUP}
        activations = None
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized" if kind == "int8" else "pack-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group | {"output_activations": None}},
    }
