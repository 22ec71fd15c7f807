"""The gain model: how likely a strong model is right where a weak one is wrong, and how unlike the training data
a prompt is.

Regression trees over the shape of a prompt plus one weight per hashed n-gram, calibrated on rows that were not
fitted. Far from the training data the answer shrinks towards the prior. Knows nothing about lanes or thresholds.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from models.scout.features import BUCKETS, Features, extract
from models.scout.head import ArtefactError
from models.scout.shape import SHAPE, Floats, shape
from models.scout.trees import Trees

FORMAT = "1"
SHIPPED = Path(__file__).with_name("gain.safetensors")
# A text whose shape is this many times as far from every family as the training rows reach is wholly unfamiliar.
FAR = 2.0


@dataclass(frozen=True, slots=True)
class Families:
    """Where the training families lie in the space of shapes; `reach` is how far most of their rows stray."""

    centres: Floats
    scale: Floats
    reach: float

    def unlike(self, row: Floats) -> float:
        """0 for a shape as in training, 1 for one far from every family."""
        offsets = (self.centres - row) / self.scale
        nearest = math.sqrt(float(np.einsum("ij,ij->i", offsets, offsets).min()) / row.size)
        return min(1.0, max(0.0, (nearest / self.reach - 1) / (FAR - 1)))


@dataclass(frozen=True, slots=True)
class Gain:
    """What the model says of one prompt.

    likely      calibrated probability that a strong model is right and a weak one wrong
    unfamiliar  0 (like the training data) to 1 (unlike all of it: then `likely` is the prior)
    """

    likely: float
    unfamiliar: float


@dataclass(frozen=True, slots=True)
class GainModel:
    """Immutable after loading, so any number of threads may share one."""

    trees: Trees
    ngrams: npt.NDArray[np.float32]
    families: Families
    rarity: dict[str, float]
    unknown: float
    slope: float
    offset: float
    prior: float
    version: str

    def judge(self, text: str, found: Features | None = None) -> Gain:
        """The gain of `text`; `found` saves the hashing where somebody has done it."""
        row = shape(text, self.rarity, self.unknown)
        return self.settle(self.raw(row, found or extract(text)), self.families.unlike(row))

    def raw(self, row: Floats, found: Features) -> float:
        """The uncalibrated score: trees plus n-grams."""
        # einsum stays on the calling thread and sums in a fixed order; BLAS promises neither.
        words = float(np.einsum("i,i->", found.values, np.take(self.ngrams, found.buckets)))
        return self.trees.predict(row) + words

    def settle(self, raw: float, unfamiliar: float) -> Gain:
        """The calibrated probability, drawn towards the prior as far as the prompt is unfamiliar."""
        likely = 1 / (1 + math.exp(-min(30.0, max(-30.0, self.slope * raw + self.offset))))
        return Gain(self.prior + (1 - unfamiliar) * (likely - self.prior), unfamiliar)


def load(path: Path = SHIPPED) -> GainModel:
    """Reads and checks an artefact. Raises ArtefactError with the path and the reason."""
    try:
        with safe_open(str(path), framework="np") as file:
            about = json.loads((file.metadata() or {})["pointsman"])
            parts = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
        return _assemble(parts, about)
    except (ArtefactError, SafetensorError, OSError, KeyError, TypeError, ValueError) as reason:
        raise ArtefactError(f"{path}: {type(reason).__name__}: {reason}") from reason


def save(model: GainModel, path: Path, about: dict[str, str]) -> None:
    """Writes the artefact. The same model gives the same bytes."""
    trees = model.trees
    names = sorted(model.rarity)
    described = {
        **about,
        "format": FORMAT,
        "shape": SHAPE,
        "depth": trees.depth,
        "reach": model.families.reach,
        "unknown": model.unknown,
        "slope": model.slope,
        "offset": model.offset,
        "prior": model.prior,
        "version": model.version,
    }
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "roots": trees.roots,
        "feature": trees.feature,
        "threshold": trees.threshold,
        "left": trees.left,
        "right": trees.right,
        "value": trees.value,
        "ngrams": model.ngrams.astype(np.float16),
        "centres": model.families.centres,
        "scale": model.families.scale,
        "words": np.frombuffer("\n".join(names).encode(), dtype=np.uint8),
        "rarity": np.array([model.rarity[name] for name in names], dtype=np.float32),
    }
    save_file(tensors, str(path), metadata={"pointsman": json.dumps(described, sort_keys=True)})


def _assemble(parts: dict[str, npt.NDArray[np.generic]], about: dict[str, object]) -> GainModel:
    if about["format"] != FORMAT or about["shape"] != list(SHAPE):
        raise ArtefactError("made for another version of this code")
    floats = {name: part.astype(np.float64) for name, part in parts.items() if part.dtype.kind == "f"}
    ints = {name: part.astype(np.int32) for name, part in parts.items() if part.dtype.kind == "i"}
    trees = Trees(
        ints["roots"],
        ints["feature"],
        floats["threshold"],
        ints["left"],
        ints["right"],
        floats["value"],
        int(str(about["depth"])),
    )
    families = Families(floats["centres"], floats["scale"], float(str(about["reach"])))
    ngrams = floats["ngrams"].astype(np.float32)
    whole = (
        ngrams.shape == (BUCKETS,)
        and all(np.isfinite(part).all() for part in floats.values())
        and families.centres.shape[1:] == families.scale.shape == (len(SHAPE),)
        and trees.feature.max() < len(SHAPE)
    )
    if not whole:
        raise ArtefactError("a tensor has another shape than this code needs, or a weight is not finite")
    names = parts["words"].tobytes().decode().split("\n")
    rarity = dict(zip(names, floats["rarity"].tolist(), strict=True))
    unknown, slope, offset, prior = (
        float(str(about[name])) for name in ("unknown", "slope", "offset", "prior")
    )
    return GainModel(trees, ngrams, families, rarity, unknown, slope, offset, prior, str(about["version"]))
