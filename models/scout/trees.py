"""Regression trees, all of them asked at once.

Knows no measure by name. Needs numpy only.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

# A tree's leaves are the bits of one number.
MOST_LEAVES = 16
_ALL = (1 << MOST_LEAVES) - 1


@dataclass(frozen=True, slots=True)
class Trees:
    """All trees as one table of nodes; a leaf is its own child.

    Raises ValueError where a tree has no end, more than 16 leaves, or a number that is none.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    depth: int
    _fast: "_Bits" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _whole(self):
            raise ValueError("a tensor has another shape than this code needs, or a number is not finite")
        object.__setattr__(self, "_fast", _bits(self))

    def predict(self, row: Floats) -> float:
        """The sum over the trees for one row of measures."""
        return self._fast.sum(row)


@dataclass(frozen=True, slots=True)
class _Bits:
    """The trees without walks (QuickScorer, Lucchese et al. 2015): every comparison that fails strikes out the leaves
    on its left, and the first leaf that is left in a tree is the one a walk would reach.

    `starts`: where the comparisons of each tree begin. `values`: of the leaves of each tree, 16 to a row.
    """

    feature: Ints
    threshold: Floats
    struck: Ints
    starts: npt.NDArray[np.intp]
    values: Floats
    rows: npt.NDArray[np.intp]

    def sum(self, row: Floats) -> float:
        """What the walks would add up to, to the last bit."""
        holds = np.take(row, self.feature) <= self.threshold
        left = np.bitwise_and.reduceat(np.where(holds, _ALL, self.struck), self.starts)
        _, first = np.frexp((left & -left).astype(np.float32))
        return float(np.take(self.values, self.rows + first).sum())


def _whole(trees: Trees) -> bool:
    nodes = trees.feature.size
    return (
        nodes > 0
        and trees.roots.size > 0
        and all(part.shape == (nodes,) for part in (trees.feature, trees.threshold, trees.left, trees.right))
        and trees.value.shape == (nodes,)
        and all(part.min() >= 0 and part.max() < nodes for part in (trees.roots, trees.left, trees.right))
        and trees.feature.min() >= 0
        and all(bool(np.isfinite(part).all()) for part in (trees.threshold, trees.value))
        and 0 < trees.depth < 64
    )


def _bits(trees: Trees) -> _Bits:
    splits, starts = list[tuple[int, int]](), list[int]()
    values = np.zeros((trees.roots.size, MOST_LEAVES))
    for number, root in enumerate(trees.roots.tolist()):
        leaves = list[int]()
        starts.append(len(splits))
        # A tree of one leaf has one comparison too, which strikes out nothing.
        splits += _splits(trees, root, trees.depth, leaves) or [(root, 0)]
        values[number, : len(leaves)] = trees.value[leaves]
    nodes = [node for node, _ in splits]
    return _Bits(
        trees.feature[nodes],
        trees.threshold[nodes],
        np.array([_ALL & ~gone for _, gone in splits], dtype=np.int32),
        np.array(starts, dtype=np.intp),
        values.ravel(),
        # The first bit of a number is the first power that `frexp` names 1.
        np.arange(trees.roots.size, dtype=np.intp) * MOST_LEAVES - 1,
    )


def _splits(trees: Trees, node: int, depth: int, leaves: list[int]) -> list[tuple[int, int]]:
    """Each node that compares, and the leaves on its left as bits; adds all leaves, from the left, to `leaves`."""
    left, right = int(trees.left[node]), int(trees.right[node])
    if left == right == node:
        leaves.append(node)
        return []
    if depth == 0 or len(leaves) > MOST_LEAVES:
        raise ValueError(f"a tree has more than {MOST_LEAVES} leaves or no end")
    first = len(leaves)
    below = _splits(trees, left, depth - 1, leaves)
    struck = (1 << len(leaves)) - (1 << first)
    found = [(node, struck), *below, *_splits(trees, right, depth - 1, leaves)]
    if len(leaves) > MOST_LEAVES:
        raise ValueError(f"a tree has more than {MOST_LEAVES} leaves or no end")
    return found
