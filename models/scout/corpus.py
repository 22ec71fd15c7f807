"""Merges all training prompts into rows with a split key that holds across sets.

Knows nothing about file layouts, features or models.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from models.scout import sources, wrapped, written
from models.scout.row import Row, question_key

Split = Literal["train", "calibration", "test"]

LARGEST_FAMILY = 2_200


def split_of(row: Row, seed: int) -> Split:
    """Ten parts by key: two for the test, one for calibration, the rest for training."""
    part = _stable(f"{seed}:{row.key}") % 10
    return "test" if part < 2 else "calibration" if part == 2 else "train"


def read(data: Path, seed: int) -> list[Row]:
    """All rows: duplicates merged, large families thinned, in a stable order."""
    found = _thinned(_merged([*sources.read(data), *_written(seed)]))
    return _thinned(_merged([*found, *wrapped.rows(seed, _carriers(found, seed), split_of)]))


def _carriers(rows: Iterable[Row], seed: int) -> dict[str, list[Row]]:
    """By split the rows whose texts may stand in orders of the same split."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.task and wrapped.SHORTEST_TEXT <= len(row.text) <= wrapped.LONGEST_TEXT:
            found[split_of(row, seed)].append(row)
    return found


def _written(seed: int) -> Iterator[Row]:
    """Templates that differ in punctuation only share a key."""
    for group, text, difficulty, task in written.rows(seed):
        yield Row("written", text, f"written:{question_key(group)}", difficulty, task)


def _merged(rows: Iterable[Row]) -> list[Row]:
    """One row per question; the first set with a label for it wins, so the order of sets counts."""
    merged: dict[str, Row] = {}
    for row in rows:
        question = question_key(row.text)
        known = merged.setdefault(question, row)
        difficulty, task = known.difficulty or row.difficulty, known.task or row.task
        merged[question] = replace(known, difficulty=difficulty, task=task)
    return list(merged.values())


def _thinned(rows: list[Row]) -> list[Row]:
    by_family: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (_stable(row.key), row.text)):
        by_family[row.family].append(row)
    return [row for family in sorted(by_family) for row in by_family[family][:LARGEST_FAMILY]]


def _stable(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest)
