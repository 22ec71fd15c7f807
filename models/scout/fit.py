"""Fits one multinomial logistic regression with a temperature, on any matrix of features.

Knows nothing about texts or files. The only module that needs scikit-learn and scipy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
from scipy.sparse import csr_matrix, hstack  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from models.scout.features import BUCKETS, Features

Array = npt.NDArray[Any]

ABSENT_BIAS = -20.0
ITERATIONS = 300
TOLERANCE = 1e-3
STRENGTH = 1.0
DENSE_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be predicted: its classes, and per row a class number (or -1) and a weight."""

    name: str
    classes: tuple[str, ...]
    labels: Array
    weights: Array


@dataclass(frozen=True, slots=True)
class Linear:
    """Logits are `features @ weights + bias`; probabilities are their softmax over `temperature`."""

    weights: Array
    bias: Array
    temperature: float

    def probabilities(self, matrix: Any) -> Array:
        """One row of probabilities per row of `matrix`."""
        return _softmax((matrix @ self.weights + self.bias) / self.temperature)


@dataclass(frozen=True, slots=True)
class Table:
    """Features of all rows: wide part and standardised dense part side by side."""

    matrix: Any
    centre: Array
    scale: Array

    def unscaled(self, linear: Linear) -> tuple[Array, Array, Array]:
        """Wide weights, dense weights and bias for raw dense values."""
        cut = linear.weights.shape[0] - self.scale.size
        dense = linear.weights[cut:] / self.scale[:, None]
        return linear.weights[:cut], dense, linear.bias - self.centre @ dense


def sparse_wide(found: Sequence[Features]) -> Any:
    """The hashed part of the features as a sparse matrix."""
    starts = np.cumsum([0, *(one.buckets.size for one in found)])
    columns = np.concatenate([one.buckets for one in found])
    values = np.concatenate([one.values for one in found])
    return csr_matrix((values, columns, starts), shape=(len(found), BUCKETS))


def table(wide: Any, dense: Array, fitted_on: Array) -> Table:
    """Puts the parts side by side, the dense one scaled down so that length does not decide alone."""
    centre = dense[fitted_on].mean(0)
    scale = np.maximum(dense[fitted_on].std(0), 1e-3) / DENSE_WEIGHT
    standard = ((dense - centre) / scale).astype(np.float32)
    matrix = np.hstack([wide, standard]) if isinstance(wide, np.ndarray) else hstack([wide, standard]).tocsr()
    return Table(matrix, centre, scale)


def fit(matrix: Any, target: Target, train: Array, calibrate: Array) -> Linear:
    """Fits on `train` and finds the temperature on `calibrate` (both are row masks)."""
    known = target.labels >= 0
    rows, held = train & known, calibrate & known
    model = LogisticRegression(C=STRENGTH, tol=TOLERANCE, max_iter=ITERATIONS)
    model.fit(matrix[rows], target.labels[rows], sample_weight=target.weights[rows])
    full = np.zeros((matrix.shape[1], len(target.classes)))
    bias = np.full(len(target.classes), ABSENT_BIAS)
    full[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
    logits = matrix[held] @ full + bias
    return Linear(full, bias, _temperature(logits, target.labels[held]))


def _temperature(logits: Array, labels: Array) -> float:
    def loss(log_temperature: float) -> float:
        shares = _softmax(logits / np.exp(log_temperature))
        right = shares[np.arange(labels.size), labels]
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 3.0), method="bounded").x))


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: Array = powers / powers.sum(1, keepdims=True)
    return shares
