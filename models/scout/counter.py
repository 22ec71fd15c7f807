"""The demand counter: how many demands a prompt makes, from the cues that the grammar finds and their frame.

Regression trees beside the count of the grammar itself, which keeps it sane on prompts unlike the training data.
Knows no text and no cue; needs numpy and safetensors only.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from models.scout.head import ArtefactError
from models.scout.trees import Trees

FORMAT = "1"
SHIPPED = Path(__file__).with_name("counter.safetensors")
# How much of the estimate is the count of the grammar. More loses on prompts like the training data, less on others:
# DENSITY_CARD.md has both.
GRAMMAR = 0.2


@dataclass(frozen=True, slots=True)
class DemandCounter:
    """Immutable after loading, so any number of threads may share one. `names` are the measures it was made for."""

    trees: Trees
    names: tuple[str, ...]

    def estimate(self, row: npt.NDArray[np.float64], counted: int) -> float:
        """The likely number of demands, not rounded."""
        return max(0.0, GRAMMAR * counted + (1 - GRAMMAR) * self.trees.predict(row))


def load(names: tuple[str, ...], path: Path = SHIPPED) -> DemandCounter:
    """Reads and checks an artefact made for the measures `names`. Raises ArtefactError with path and reason."""
    try:
        with safe_open(str(path), framework="np") as file:
            about = json.loads((file.metadata() or {})["pointsman"])
            parts = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
        return _assemble(parts, about, names)
    except (ArtefactError, SafetensorError, OSError, KeyError, TypeError, ValueError) as reason:
        raise ArtefactError(f"{path}: {type(reason).__name__}: {reason}") from reason


def save(counter: DemandCounter, path: Path, about: dict[str, str]) -> None:
    """Writes the artefact. The same counter gives the same bytes."""
    trees = counter.trees
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "roots": trees.roots,
        "feature": trees.feature,
        "threshold": trees.threshold,
        "left": trees.left,
        "right": trees.right,
        "value": trees.value,
    }
    described = {**about, "format": FORMAT, "names": counter.names, "depth": trees.depth}
    save_file(tensors, str(path), metadata={"pointsman": json.dumps(described, sort_keys=True)})


def _assemble(
    parts: dict[str, npt.NDArray[np.generic]], about: dict[str, object], names: tuple[str, ...]
) -> DemandCounter:
    if about["format"] != FORMAT or about["names"] != list(names):
        raise ArtefactError("made for another version of this code")
    ints = {name: parts[name].astype(np.int32) for name in ("roots", "feature", "left", "right")}
    floats = {name: parts[name].astype(np.float64) for name in ("threshold", "value")}
    trees = Trees(
        ints["roots"],
        ints["feature"],
        floats["threshold"],
        ints["left"],
        ints["right"],
        floats["value"],
        int(str(about["depth"])),
    )
    if trees.feature.max() >= len(names):
        raise ArtefactError("a tree reads a measure that is not there")
    return DemandCounter(trees, names)
