"""A linear head over wide and dense features: its file, its checks, its two readings.

Does not know how the features are made; needs numpy and safetensors only.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from serve.signals.readings import DIFFICULTIES, ScoutReading, TaskReading, TaskType

Floats = npt.NDArray[np.float32]
Source = Literal["pre-scout", "scout"]

FORMAT = "1"
TENSORS = ("wide", "dense", "bias")


class ArtefactError(ValueError):
    """The file is not a scout artefact that this code can use."""


@dataclass(frozen=True, slots=True)
class Head:
    """Weights of the difficulty columns, then of one column per task, with their temperatures."""

    wide: Floats
    dense: Floats
    bias: Floats
    tasks: tuple[TaskType, ...]
    temperatures: tuple[float, float]
    version: str

    def __post_init__(self) -> None:
        columns = len(DIFFICULTIES) + len(self.tasks)
        shapes = (self.wide.shape[1:], self.dense.shape[1:], self.bias.shape)
        _require(shapes == ((columns,),) * 3, f"expected {columns} columns, found {shapes}")
        finite = all(np.isfinite(part).all() for part in (self.wide, self.dense, self.bias))
        _require(bool(finite), "a weight is not finite")
        _require(bool(self.tasks) and set(self.tasks) <= set(get_args(TaskType)), "unknown or no task type")
        _require(all(0.01 <= value <= 100 for value in self.temperatures), "temperature outside 0.01-100")

    def require_inputs(self, wide: int, dense: int) -> None:
        """Raises ArtefactError unless the head fits features of these widths."""
        found = (self.wide.shape[0], self.dense.shape[0])
        _require(found == (wide, dense), f"made for {found} features, the code has {(wide, dense)}")

    def readings(self, logits: Floats, source: Source) -> tuple[ScoutReading, TaskReading]:
        """The calibrated readings of one row of logits."""
        cut = len(DIFFICULTIES)
        trivial, standard, hard = _softmax(logits[:cut], self.temperatures[0])
        tasks = _softmax(logits[cut:], self.temperatures[1])
        best = max(range(len(tasks)), key=tasks.__getitem__)
        scout = ScoutReading(trivial, standard, hard, max(trivial, standard, hard), source)
        return scout, TaskReading(self.tasks[best], tasks[best])


def load(path: Path) -> Head:
    """Reads and checks an artefact. Raises ArtefactError with the path and the reason."""
    try:
        with safe_open(str(path), framework="np") as file:
            about = json.loads((file.metadata() or {})["pointsman"])
            parts = [np.asarray(file.get_tensor(name), dtype=np.float32) for name in TENSORS]
        return _assemble(parts, about)
    except (ArtefactError, SafetensorError, OSError, KeyError, TypeError, ValueError) as reason:
        raise ArtefactError(f"{path}: {type(reason).__name__}: {reason}") from reason


def save(head: Head, path: Path, about: dict[str, str]) -> None:
    """Writes the artefact; wide weights in float16, everything else in float32."""
    described = {
        **about,
        "format": FORMAT,
        "difficulties": DIFFICULTIES,
        "tasks": head.tasks,
        "temperatures": head.temperatures,
        "version": head.version,
    }
    tensors: dict[str, npt.NDArray[Any]] = {"wide": head.wide.astype(np.float16)}
    tensors |= {"dense": head.dense, "bias": head.bias}
    # One JSON value with sorted keys: the order of safetensors' own header map changes between runs.
    save_file(tensors, str(path), metadata={"pointsman": json.dumps(described, sort_keys=True)})


def _assemble(parts: list[Floats], about: dict[str, Any]) -> Head:
    _require(about["format"] == FORMAT, f"format {about['format']!r}, not {FORMAT!r}")
    _require(tuple(about["difficulties"]) == DIFFICULTIES, "other difficulty classes")
    wide, dense, bias = parts
    difficulty, task = about["temperatures"]
    temperatures = (float(difficulty), float(task))
    return Head(wide, dense, bias, tuple(about["tasks"]), temperatures, str(about["version"]))


def _softmax(logits: Floats, temperature: float) -> list[float]:
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max())
    shares: list[float] = (powers / powers.sum()).tolist()
    return shares


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ArtefactError(reason)
