"""A copy of a model whose linear layers are rounded to 8 or 4 bits, in the layout of compressed-tensors.

Round to nearest, no calibration: what anybody can do with weights alone. int8 has one scale per output channel, and
vLLM rounds the activations of each token as well (W8A8); int4 has one scale per 32 weights and activations as they
are (W4A16). The embedding and the output layer stay as they are: vLLM rounds neither.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

Kind = Literal["int8", "int4"]
GROUP = 32


def rounded(model: Path, kind: Kind, into: Path) -> Path:
    """The folder of the copy, made if it is not there yet. `model` is a folder of safetensors."""
    done = into / ".complete"
    if not done.is_file():
        into.mkdir(parents=True, exist_ok=True)
        for path in model.iterdir():
            if path.suffix not in (".safetensors", ".index"):
                shutil.copy(path, into / path.name)
        _write_weights(model, kind, into / "model.safetensors")
        settings = json.loads((model / "config.json").read_text(encoding="utf-8"))
        settings["quantization_config"] = _layout(kind)
        (into / "config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
        done.touch()
    return into


def _write_weights(model: Path, kind: Kind, target: Path) -> None:
    from safetensors.torch import load_file, save_file  # torch is slow to import, and only this needs it

    weights: dict[str, Any] = {}
    for path in sorted(model.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            is_linear = name.endswith("_proj.weight")
            weights |= (_int8 if kind == "int8" else _int4)(name, tensor) if is_linear else {name: tensor}
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
