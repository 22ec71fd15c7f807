"""Files of labelled rows, and how well a number tells two classes apart. Judges nothing."""

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.quality.cases import DataUnreadable

Row = Mapping[str, Any]


def folders(data: Path) -> list[Path]:
    """All *.jsonl[.gz] files of the sets in `data`, or of `data` itself. Raises DataUnreadable."""
    if not data.is_dir():
        raise DataUnreadable(
            f"{data} is not a folder. Give --data a folder that holds sets of *.jsonl.gz files."
        )
    return sorted({*data.glob("*.jsonl*"), *data.glob("*/*.jsonl*")})


def rows(path: Path, text: str = "prompt") -> list[Row]:
    """The rows that have a `text`. Raises DataUnreadable with the file and the fault."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found = [json.loads(line) for line in raw.splitlines() if line.strip()]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataUnreadable(f"{path} cannot be read: {error}") from error
    return [row for row in found if isinstance(row, dict) and isinstance(row.get(text), str)]


def auc(values: npt.NDArray[Any], positive: npt.NDArray[np.bool_]) -> float:
    """The chance that a positive has the higher value; equal values count half."""
    _, rank, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = (np.cumsum(counts) - (counts - 1) / 2)[rank]
    hits = int(positive.sum())
    return float((mean_rank[positive].sum() - hits * (hits + 1) / 2) / (hits * (values.size - hits)))
