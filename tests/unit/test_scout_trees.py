"""Promises of the regression trees: the fast sum is the sum of the walks, and what is no tree is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.scout import counter, gain
from models.scout.trees import MOST_LEAVES, Floats, Trees
from serve.signals import constraints

SHIPPED = (gain.load().trees, counter.load(constraints.MEASURES).trees)


def walked(trees: Trees, row: Floats) -> float:
    node = trees.roots
    for _ in range(trees.depth):
        goes_left = row[trees.feature[node]] <= trees.threshold[node]
        node = np.where(goes_left, trees.left[node], trees.right[node])
    return float(trees.value[node].sum())


def ladder(leaves: int) -> Trees:
    """One tree that splits off one leaf at a time, and a tree of one leaf behind it."""
    inner = leaves - 1
    nodes = 2 * inner + 2
    left, right = np.arange(nodes), np.arange(nodes)
    left[:inner], right[:inner] = np.arange(inner) + inner, np.arange(inner) + 1
    right[inner - 1] = 2 * inner
    threshold = np.where(np.arange(nodes) < inner, np.arange(nodes), 0).astype(np.float64)
    return Trees(
        np.array([0, nodes - 1], dtype=np.int32),
        np.zeros(nodes, dtype=np.int32),
        threshold,
        left.astype(np.int32),
        right.astype(np.int32),
        np.arange(nodes, dtype=np.float64),
        max(1, inner),
    )


@pytest.mark.parametrize("trees", SHIPPED, ids=("gain", "counter"))
@given(seed=st.integers(0, 2**32 - 1), beside=st.sampled_from((0.0, 1e-9, -1e-9, 1.0, -1.0)))
def test_the_fast_sum_is_that_of_the_walks_to_the_last_bit(trees: Trees, seed: int, beside: float) -> None:
    drawn = np.random.default_rng(seed).integers(0, trees.threshold.size, int(trees.feature.max()) + 1)
    row = trees.threshold[drawn] + beside
    assert trees.predict(row) == walked(trees, row)


@given(st.integers(2, MOST_LEAVES), st.floats(-2, 20))
def test_a_lopsided_tree_and_a_bare_leaf_are_summed(leaves: int, value: float) -> None:
    trees, row = ladder(leaves), np.array([value])
    assert trees.predict(row) == walked(trees, row)


def test_a_tree_with_more_leaves_than_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves"):
        ladder(MOST_LEAVES + 1)


def test_a_tree_that_comes_back_to_itself_is_refused() -> None:
    trees = ladder(3)
    with pytest.raises(ValueError, match="no end"):
        replace(trees, left=np.zeros_like(trees.left))


@pytest.mark.parametrize("part", ["feature", "threshold", "left", "right", "value"])
def test_a_table_of_unequal_columns_is_refused(part: str) -> None:
    trees = ladder(3)
    with pytest.raises(ValueError, match="another shape"):
        replace(trees, **{part: getattr(trees, part)[:-1]})
