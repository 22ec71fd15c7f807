"""Trains the head of the causal back end on a sample of the training prompts: `python -m models.scout.train --causal`.

A pass of an instruct model over every prompt takes hours without a GPU, so the sample is taken evenly over the
families, and what was read is kept in a file. Knows nothing about files of the training sets.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from models.scout import head
from models.scout.fit import Array, Target
from models.scout.prepare import Prepared

if TYPE_CHECKING:
    from models.scout.causal import LabelReader

CHUNK = 8


def sampled(prepared: Prepared, count: int) -> Prepared:
    """The first `count` originals, one of each family in turn, with the splits that they have in the whole."""
    by_family: dict[str, list[int]] = defaultdict(list)
    for place in np.flatnonzero(prepared.original).tolist():
        by_family[prepared.rows[place].family].append(place)
    turns = chain.from_iterable(zip_longest(*(by_family[name] for name in sorted(by_family))))
    chosen = np.array([place for place in turns if place is not None][:count])
    difficulty, task = (_of(target, chosen) for target in prepared.targets)
    return Prepared(
        rows=[prepared.rows[place] for place in chosen],
        families=prepared.families[chosen],
        splits=prepared.splits[chosen],
        original=prepared.original[chosen],
        targets=(difficulty, task),
    )


def _of(target: Target, chosen: Array) -> Target:
    return replace(target, labels=target.labels[chosen], weights=target.weights[chosen])


class Kept:
    """Reads texts as `LabelReader` does. What `file` holds is not read again, and what is read is added to it.

    The file belongs to one model: it knows texts only. Two at a time would lose what one of them read.
    """

    def __init__(
        self, directory: Path, file: Path | None, bits: Literal[16, 32] = 16, threads: int = 1
    ) -> None:
        self._directory = directory
        self._file = file
        self._bits: Literal[16, 32] = bits
        self._threads = threads
        self._known = _kept(file)
        self._reader: LabelReader | None = None

    def logits(self, texts: Sequence[str]) -> head.Floats:
        """Log-probabilities of the labels of every text, in order; the model is loaded only where one is new."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        for start in range(0, len(new), CHUNK):
            # One at a time: padding costs more on a processor than a batch saves.
            self._known |= {text: self._read(text) for text in new[start : start + CHUNK]}
            _keep(self._file, self._known)
        return np.stack([self._known[text] for text in texts])

    def _read(self, text: str) -> head.Floats:
        if self._reader is None:
            from models.scout.causal import LabelReader  # torch is needed for this step only

            self._reader = LabelReader(self._directory, bits=self._bits, threads=self._threads)
        found: head.Floats = self._reader.logits([text])[0]
        return found


def _kept(path: Path | None) -> dict[str, head.Floats]:
    if path is None or not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(zip(file["texts"].tolist(), file["labels"], strict=True))


def _keep(path: Path | None, known: dict[str, head.Floats]) -> None:
    if path is not None:
        part = path.with_suffix(".part.npz")
        np.savez(part, texts=np.array(list(known)), labels=np.stack(list(known.values())))
        part.replace(path)
