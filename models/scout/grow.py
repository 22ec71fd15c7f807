"""Fits the gain model and measures it: trees and n-gram weights, calibration, folds, families held out.

Knows nothing about files. Needs scikit-learn and scipy.
"""

import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import diags  # type: ignore[import-untyped]
from sklearn.ensemble import HistGradientBoostingRegressor  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression, Ridge  # type: ignore[import-untyped]

from models.scout.features import extract
from models.scout.fit import sparse_wide
from models.scout.gain import Families, GainModel
from models.scout.outcomes import MEANS, Outcome
from models.scout.shape import SHAPE, shape, words
from models.scout.trees import Trees

Array = npt.NDArray[Any]

FOLDS = 5
TREES = 200
LEAVES = 12
DEPTH = 8
LEAST_LEAF = 60
LEARNING_RATE = 0.04
SHARE_OF_MEASURES = 0.2
SHRINK = 10.0
# Strength of the ridge on n-gram weights; with 3 to 30 the folds differ by 0.01.
RIDGE = 30.0
COPY_WEIGHT = 0.5
LEAST_SEEN = 3
# Most rows of the training data lie within reach of a family.
REACHED = 99.0


@dataclass(frozen=True, slots=True)
class Grounds:
    """All rows as matrices, once for all fits; `fold` never separates a question."""

    rows: list[Outcome]
    shapes: Array
    ngrams: Any
    target: Array
    won: Array
    original: Array
    family: Array
    fold: Array
    rarity: dict[str, float]
    unknown: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """Trees and n-gram weights of one fit; `raw` adds them up."""

    forest: Any
    weights: Array

    def raw(self, grounds: Grounds, rows: Array) -> Array:
        """The uncalibrated score of these rows."""
        scores: Array = self.forest.predict(grounds.shapes[rows]) + grounds.ngrams[rows] @ self.weights
        return scores


def ground(rows: list[Outcome], progress: Callable[[Sequence[Outcome]], Sequence[Outcome]]) -> Grounds:
    """Extracts all features; `progress` wraps the rows on the way."""
    rarity, unknown = _rarity([row.text for row in rows if row.original])
    shapes, found = [], []
    for row in progress(rows):
        shapes.append(shape(row.text, rarity, unknown))
        found.append(extract(row.text))
    return Grounds(
        rows,
        np.array(shapes),
        sparse_wide(found),
        _targets(rows),
        np.array([row.won for row in rows]),
        np.array([row.original for row in rows]),
        np.array([row.family for row in rows]),
        np.array([zlib.crc32(row.key.encode("utf-8", "replace")) % FOLDS for row in rows]),
        rarity,
        unknown,
    )


def _rarity(texts: list[str]) -> tuple[dict[str, float], float]:
    """Inverse document frequency of each word seen a few times, and that of all others."""
    seen = Counter(word for text in texts for word in set(words(text)))
    ceiling = math.log(len(texts) + 1)
    known = {word: times for word, times in seen.items() if times >= LEAST_SEEN and len(word) < 32}
    return {word: float(np.float32(ceiling - math.log(times + 1))) for word, times in known.items()}, ceiling


def _targets(rows: list[Outcome]) -> Array:
    """The gains, with the mean of some sources set to what MEANS says."""
    gain = np.array([row.gain for row in rows])
    source = np.array([row.source for row in rows])
    for name, mean in MEANS.items():
        if (members := source == name).any():
            gain[members] += mean - gain[members].mean()
    return gain


def fit(grounds: Grounds, train: Array, seed: int) -> Fitted:
    """Fits both parts on the rows of the mask `train`."""
    weights = np.where(grounds.original[train], 1.0, COPY_WEIGHT)
    forest = HistGradientBoostingRegressor(
        max_iter=TREES,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=LEAVES,
        max_depth=DEPTH,
        min_samples_leaf=LEAST_LEAF,
        l2_regularization=SHRINK,
        max_features=SHARE_OF_MEASURES,
        early_stopping=False,
        random_state=seed,
    ).fit(grounds.shapes[train], grounds.target[train], sample_weight=weights)
    seen = np.bincount(grounds.ngrams[train].indices, minlength=grounds.ngrams.shape[1])
    scale = np.where(seen >= LEAST_SEEN, np.log((train.sum() + 1) / (seen + 1)), 0.0) / 6
    ridge = Ridge(alpha=RIDGE / 9, solver="sparse_cg", tol=1e-2)
    ridge.fit(grounds.ngrams[train] @ diags(scale), grounds.target[train], sample_weight=weights)
    return Fitted(forest, ridge.coef_ * scale)


def out_of_fold(grounds: Grounds, seed: int, step: Callable[[str], None]) -> Array:
    """Each row's score by a model that saw no row with its question."""
    scores = np.zeros(len(grounds.rows))
    for number in range(FOLDS):
        step(f"fold {number + 1} of {FOLDS}")
        held = grounds.fold == number
        scores[held] = fit(grounds, ~held, seed).raw(grounds, held)
    return scores


def held_out(grounds: Grounds, families: Sequence[str], seed: int, step: Callable[[str], None]) -> Array:
    """Each row's score by a model that saw neither its family nor its question; NaN for other families."""
    scores = np.full(len(grounds.rows), np.nan)
    keys = np.array([row.key for row in grounds.rows])
    for name in families:
        step(f"without {name}")
        members = grounds.family == name
        strangers = ~members & ~np.isin(keys, keys[members])
        scores[members] = fit(grounds, strangers, seed).raw(grounds, members)
    return scores


def assemble(grounds: Grounds, fitted: Fitted, honest: Array) -> GainModel:
    """The shipped model: fitted on everything, calibrated on the scores `honest` of out_of_fold."""
    known = grounds.original
    slope, offset = calibration(honest[known], grounds.won[known])
    trees = trees_of(fitted.forest)
    ngrams = fitted.weights.astype(np.float16).astype(np.float32)
    digest = hashlib.sha256(trees.value.tobytes() + trees.threshold.tobytes() + ngrams.tobytes()).hexdigest()
    return GainModel(
        trees,
        ngrams,
        _families(grounds),
        grounds.rarity,
        grounds.unknown,
        slope,
        offset,
        float(grounds.won[known].mean()),
        digest[:12],
    )


def calibration(scores: Array, won: Array) -> tuple[float, float]:
    """Slope and offset of the logistic curve from score to probability."""
    model = LogisticRegression(C=1e6).fit(scores[:, None], won)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _families(grounds: Grounds) -> Families:
    own = grounds.shapes[grounds.original]
    names = grounds.family[grounds.original]
    scale = np.maximum(own.std(0), 1e-3)
    centres = np.array([own[names == name].mean(0) for name in sorted(set(names.tolist()))])
    nearest = np.min([(((own - centre) / scale) ** 2).mean(1) for centre in centres], axis=0)
    return Families(centres, scale, float(np.percentile(np.sqrt(nearest), REACHED)))


def trees_of(forest: Any) -> Trees:
    """The forest of scikit-learn (HistGradientBoostingRegressor) as one table; the baseline is a tree of one leaf."""
    roots, parts = [0], [np.array([[0, 0, 0, 0]])]
    thresholds, values = [np.zeros(1)], [np.ravel(forest._baseline_prediction)[:1].astype(float)]
    start, depth = 1, 1
    for (grown,) in forest._predictors:
        nodes = grown.nodes
        self_ = start + np.arange(nodes.size)
        leaf = nodes["is_leaf"].astype(bool)
        left = np.where(leaf, self_, start + nodes["left"].astype(int))
        right = np.where(leaf, self_, start + nodes["right"].astype(int))
        parts.append(np.stack([np.where(leaf, 0, nodes["feature_idx"]), left, right, self_], axis=1))
        thresholds.append(np.where(leaf, 0.0, nodes["num_threshold"]))
        values.append(np.where(leaf, nodes["value"], 0.0))
        roots.append(start)
        start, depth = start + nodes.size, max(depth, int(nodes["depth"].max()))
    table = np.concatenate(parts).astype(np.int32)
    columns = [np.ascontiguousarray(table[:, number]) for number in range(3)]
    return Trees(
        np.array(roots, dtype=np.int32),
        columns[0],
        np.concatenate(thresholds),
        columns[1],
        columns[2],
        np.concatenate(values),
        depth,
    )


def apgr(score: Array, gain: Array) -> float | None:
    """Mean share of the gap recovered over all shares of strong calls; None without a gap worth the name."""
    if gain.mean() <= 0.02:
        return None
    _, ties = np.unique(-score, return_inverse=True)
    order = np.argsort(ties, kind="stable")
    even = (np.bincount(ties, gain) / np.bincount(ties))[ties][order]
    curve = np.concatenate([[0.0], np.cumsum(even)]) / gain.sum()
    return float(((curve[1:] + curve[:-1]) / 2).mean())


@dataclass(frozen=True, slots=True)
class FamilyLine:
    """One family: how many prompts, APGR by folds, APGR and calibration with the family held out."""

    family: str
    rows: int
    folds: float | None
    held_out: float | None
    ece: float


def lines(grounds: Grounds, honest: Array, strange: Array) -> Iterator[FamilyLine]:
    """The leave-one-family-out table."""
    slope, offset = calibration(honest[grounds.original], grounds.won[grounds.original])
    gain = np.array([row.gain for row in grounds.rows])
    for name in sorted(set(grounds.family.tolist())):
        chosen = (grounds.family == name) & grounds.original & np.isfinite(strange)
        if not chosen.any():
            continue
        shares = 1 / (1 + np.exp(-(slope * strange[chosen] + offset)))
        yield FamilyLine(
            name,
            int(chosen.sum()),
            apgr(honest[chosen], gain[chosen]),
            apgr(strange[chosen], gain[chosen]),
            reliability(shares, grounds.won[chosen])[0],
        )


def reliability(shares: Array, won: Array, bins: int = 10) -> tuple[float, list[tuple[float, float, int]]]:
    """The calibration error, and per bin of equal size: mean probability, share won, rows."""
    order = np.argsort(shares, kind="stable")
    found = [
        (float(shares[part].mean()), float(won[part].mean()), part.size)
        for part in np.array_split(order, bins)
        if part.size
    ]
    error = sum(size * abs(said - was) for said, was, size in found) / max(shares.size, 1)
    return float(error), found


assert len(SHAPE) == 29, "the order in shape._laid_out"
