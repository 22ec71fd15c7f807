"""Turns a GGUF file into safetensors that vLLM loads on a CPU. It does not know where either is kept.

The work runs in a process of its own: it takes some gigabytes, and they are given back when it ends.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from models.errors import ConvertFailed
from models.watch import Step, Watch

NEEDED = ("torch", "transformers", "accelerate", "gguf")


def convert(source: Path, target: Path, watch: Watch) -> dict[str, str]:
    """Fills the folder `target`; returns the versions that did it."""
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        raise ConvertFailed(f"to convert {source.name}, {', '.join(missing)} must be installed: make setup")
    with start(source, target) as process:
        tail = list(follow(process.stderr, watch))
    if process.returncode != 0:
        said = "\n".join(line for line in tail[-15:] if line)
        raise ConvertFailed(f"{source} could not be converted (exit {process.returncode}):\n{said}")
    return {package: version(package) for package in NEEDED}


def start(source: Path, target: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "models.convert", str(source), str(target)]
    # Everything is on disk already; a library that asks a hub all the same would only wait for it.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    root = Path(__file__).resolve().parents[1]
    return subprocess.Popen(  # noqa: S603  this interpreter, this module, two paths of ours
        command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def follow(stderr: IO[str] | None, watch: Watch) -> Iterator[str]:
    """transformers draws its bars on stderr, one state per carriage return: `Converting: 45%|… 131/290 […`"""
    for line in stderr or ():
        if bar := re.search(r"^([^:]+):.*\| *(\d+)/(\d+) \[", line):
            watch.step(Step(bar[1].strip(" ."), int(bar[2]), int(bar[3]), unit="items"))
        else:
            yield line.rstrip()


def main(source: Path, target: Path) -> None:
    """Imports are here because the parent process, and the core profile, must do without them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model: Any = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
    )
    # The weights are plain bfloat16 now; what is left of the quantiser would make vLLM look for it.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
