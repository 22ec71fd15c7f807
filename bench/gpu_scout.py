"""What one judgement by a Scout-sized model costs by batch size and by bits: `python -m bench.gpu_scout`.

`--backend causal_lm` times the very class of the Scout (`models.scout.causal`): an instruct model, its labels read in
one pass. `encoder` times a sentence encoder alone. Judges nothing.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import report
from bench.gpu_weights import DTYPES, Weights, sync, weights
from models import store
from serve.config.engines import OWN_MODELS

WARM_UP = 3
BATCHES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Timed:
    """A model whose forward pass over rows of token ids can be timed."""

    forward: Callable[[list[list[int]]], object]
    device: str
    bits: int
    dtype: str
    memory_mib: int


def main(arguments: list[str] | None = None) -> None:
    """Time every batch size at every number of bits. Exit status 2 for what cannot be loaded here."""
    given = _parser().parse_args(arguments)
    started, begin = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    name = given.model or OWN_MODELS[given.backend]
    folder = Path(name) if Path(name).is_dir() else store.path(name)
    rows: list[dict[str, Any]] = []
    for bits in given.bits:
        try:
            loaded = _LOADERS[given.backend](folder, bits, given.device)
        except (ValueError, ImportError, RuntimeError) as error:
            sys.exit(f"{bits} bits on {given.device}: {error}")
        rows += [measured(loaded, batch, given.tokens, given.runs) for batch in given.batch]
    result = {
        **report.origin(sys.argv, started, time.perf_counter() - begin),
        "backend": given.backend,
        "model": folder.name if name == str(folder) else name,
        "device": given.device,
        "tokens": given.tokens,
        "runs": given.runs,
        "rows": rows,
    }
    report.save(given.json, result)
    Console().print(_table(rows))


def measured(loaded: Timed, batch: int, tokens: int, runs: int) -> dict[str, Any]:
    """Percentiles of one forward pass of `batch` texts of `tokens` tokens, in milliseconds."""
    rows: list[list[int]] = np.random.default_rng(0).integers(5, 1000, (batch, tokens)).tolist()
    spent: list[float] = []
    for _ in range(runs + WARM_UP):
        sync(loaded.device)
        start = time.perf_counter()
        loaded.forward(rows)
        sync(loaded.device)
        spent.append(1e3 * (time.perf_counter() - start))
    p50, p99 = np.percentile(spent[WARM_UP:], [50, 99]).tolist()
    row = {"bits": loaded.bits, "dtype": loaded.dtype, "batch": batch, "p50_ms": round(p50, 3)}
    return row | {"p99_ms": round(p99, 3), "memory_mib": loaded.memory_mib}


def _encoder(folder: Path, bits: int, device: str) -> Timed:
    found = weights(folder, bits, device, causal=False)
    return Timed(lambda rows: _embedded(found, rows), device, bits, found.dtype, found.memory_mib)


def _embedded(found: Weights, rows: list[list[int]]) -> object:
    import torch

    ids = torch.tensor(rows, device=found.device)
    with torch.inference_mode():
        return found.model(input_ids=ids, attention_mask=torch.ones_like(ids))


def _causal_lm(folder: Path, bits: Any, device: Any) -> Timed:
    from models.scout.causal import LabelReader

    reader = LabelReader(folder, device=device, bits=bits)
    return Timed(reader.read, device, bits, DTYPES[bits], reader.memory_mib)


_LOADERS = {"encoder": _encoder, "causal_lm": _causal_lm}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_scout", description=__doc__)
    parser.add_argument("--backend", choices=sorted(_LOADERS), default="encoder", help="of the Scout")
    parser.add_argument("--model", help="a name in models/lock.toml, or a folder; else that of the back end")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--bits", type=int, nargs="+", choices=sorted(DTYPES), default=[16, 4])
    parser.add_argument("--batch", type=_positive, nargs="+", default=list(BATCHES))
    parser.add_argument("--tokens", type=_positive, default=128, help="of each text")
    parser.add_argument("--runs", type=_positive, default=200)
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("bits", "dtype", "batch", "p50 ms", "p99 ms", "weights MiB")
    for row in rows:
        names = ("bits", "dtype", "batch", "p50_ms", "p99_ms", "memory_mib")
        table.add_row(*(str(row[name]) for name in names))
    return table


if __name__ == "__main__":
    main()
