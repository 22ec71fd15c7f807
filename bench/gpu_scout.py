"""What one judgement by a Scout-sized model costs by batch size and by bits: `python -m bench.gpu_scout`.

Loads the weights as transformers and bitsandbytes do on a GPU and times whole forward passes. Judges nothing.
"""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import report
from bench.gpu_weights import DTYPES, Weights, sync, weights
from models import store

WARM_UP = 3
BATCHES = (1, 2, 4, 8, 16, 32)


def main(arguments: list[str] | None = None) -> None:
    """Time every batch size at every number of bits. Exit status 2 for what cannot be loaded here."""
    given = _parser().parse_args(arguments)
    started, begin = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    folder = Path(given.model) if Path(given.model).is_dir() else store.path(given.model)
    rows: list[dict[str, Any]] = []
    for bits in given.bits:
        try:
            loaded = weights(folder, bits, given.device, causal=False)
        except (ValueError, ImportError, RuntimeError) as error:
            sys.exit(f"{bits} bits on {given.device}: {error}")
        rows += [measured(loaded, batch, given.tokens, given.runs) for batch in given.batch]
    result = {
        **report.origin(sys.argv, started, time.perf_counter() - begin),
        "model": folder.name if given.model == str(folder) else given.model,
        "device": given.device,
        "tokens": given.tokens,
        "runs": given.runs,
        "rows": rows,
    }
    report.save(given.json, result)
    Console().print(_table(rows))


def measured(loaded: Weights, batch: int, tokens: int, runs: int) -> dict[str, Any]:
    """Percentiles of one forward pass of `batch` texts of `tokens` tokens, in milliseconds."""
    import torch

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 1000, (batch, tokens), generator=generator).to(loaded.device)
    mask = torch.ones_like(ids)
    spent: list[float] = []
    with torch.inference_mode():
        for _ in range(runs + WARM_UP):
            sync(loaded.device)
            start = time.perf_counter()
            loaded.model(input_ids=ids, attention_mask=mask)
            sync(loaded.device)
            spent.append(1e3 * (time.perf_counter() - start))
    p50, p99 = np.percentile(spent[WARM_UP:], [50, 99]).tolist()
    row = {"bits": loaded.bits, "dtype": loaded.dtype, "batch": batch, "p50_ms": round(p50, 3)}
    return row | {"p99_ms": round(p99, 3), "memory_mib": loaded.memory_mib}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_scout", description=__doc__)
    parser.add_argument("--model", default="all-minilm-l6-v2", help="a name in models/lock.toml, or a folder")
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
