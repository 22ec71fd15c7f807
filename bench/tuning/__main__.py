"""What one engine can do on this machine without a GPU: settings side by side, one after the other.

    python -m bench.tuning --out bench/results/tuning.json --plot bench/results/tuning.svg
    python -m bench.tuning --only "as configured,int8 weights and activations"

Each variant is the engine of the configuration with one thing changed, in a process of its own; the configured one
comes first and last, so that a machine that changes meanwhile shows. About a minute each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench import report
from bench.machine import ROOT
from bench.overhead import rig
from bench.tuning.variants import VARIANTS, Variant
from models.rounded import rounded
from serve.config import EngineConfig, load
from serve.engine import weights

PATIENCE_S = 900
PROSE = ("README.md", "docs/privacy.md", "docs/policy.md", "docs/scaling.md")
TEXT_TOKENS = 1000
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
COLUMNS = {
    "tokens_per_s_1": "tokens/s, 1 at a time",
    "tokens_per_s_8": "8",
    "tokens_per_s_16": "16",
    "first_token_s": "first token s",
    "first_token_long_s": "of 1,200 tokens",
    "first_token_long_again_s": "the same again",
    "longest_gap_s": "gap beside it s",
    "perplexity": "perplexity",
    "start_s": "start s",
    "rss_mib": "MiB",
}
err = Console(stderr=True)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when a variant that was asked for gave no figures, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    wanted = [one for one in VARIANTS if options.only is None or one.name in options.only]
    if unknown := set(options.only or ()) - {one.name for one in VARIANTS}:
        err.print(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(one.name for one in VARIANTS)}")
        return 2
    started_at, began = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    engines = load(options.config).engines
    engine = engines[options.engine] if options.engine else next(iter(engines.values()))
    found, failed = _measure(wanted, engine)
    result = report.origin(
        ["python", "-m", "bench.tuning", *arguments], started_at, time.perf_counter() - began
    )
    result |= {"load_average_at_end": [round(load, 2) for load in psutil.getloadavg()]}
    result |= {"model": engine.model, "found": found, "failed": failed}
    show(Console(width=None if sys.stdout.isatty() else 170), result)
    report.save(options.out, result)
    if options.plot and found:
        plot(found, options.plot)
    return int(bool(failed))


def _measure(wanted: list[Variant], engine: EngineConfig) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), Path(weights(engine))
        texts = _texts(model)
        for number, one in enumerate(wanted, 1):
            err.print(f"{number} of {len(wanted)}: {one.name}", highlight=False)
            source = _source(one, model, folder)
            figures = _figures(
                one, {"engine": one.of(engine, str(source)).model_dump(), "texts": texts}, folder
            )
            (failed if isinstance(figures, str) else found)[one.name] = figures  # type: ignore[assignment]
            err.print(f"   {figures if isinstance(figures, str) else _line(figures)}", markup=False)
    return found, failed


def _source(one: Variant, model: Path, folder: Path) -> Path:
    if one.weights is None:
        return model
    copy = folder / one.weights
    return copy if copy.exists() else rounded(model, one.weights, copy)


def _line(figures: Mapping[str, Any]) -> str:
    speeds = " and ".join(f"{figures[f'tokens_per_s_{at_once}']:.0f}" for at_once in (1, 8, 16))
    return f"{speeds} tokens/s, first token after {figures['first_token_s']:.2f} s"


def _texts(model: Path) -> list[list[int]]:
    from tokenizers import Tokenizer

    reader = Tokenizer.from_file(str(model / "tokenizer.json"))
    return [reader.encode((ROOT / name).read_text(encoding="utf-8")).ids[:TEXT_TOKENS] for name in PROSE]


def _figures(one: Variant, order: dict[str, Any], folder: Path) -> dict[str, Any] | str:
    """The figures, or why there are none."""
    asked = folder / "asked.json"
    asked.write_text(json.dumps(order | {"environment": dict(one.environment)}), encoding="utf-8")
    log = folder / "probe.log"
    with rig.child([sys.executable, "-m", "bench.tuning.probe", str(asked)], _environment(one), log) as (
        process,
        _,
    ):
        try:
            status = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return f"no figures within {PATIENCE_S} s"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if status:
        return next(
            (line[-300:] for line in reversed(lines) if "Error" in line), f"ended with status {status}"
        )
    figures: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    return figures


def _environment(one: Variant) -> Mapping[str, str]:
    if not one.avx2:
        return {}
    places = [str(Path(__file__).parent / "avx2"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return AVX2 | {"PYTHONPATH": os.pathsep.join(filter(None, places))}


def show(console: Console, result: Mapping[str, Any]) -> None:
    """One line a variant."""
    table = Table("", title="One engine, one setting changed at a time", title_justify="left")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    for name, figures in result["found"].items():
        table.add_row(name, *(f"{figures[column]:.4g}" for column in COLUMNS))
    console.print(table)
    for name, reason in result["failed"].items():
        console.print(f"{name}: {reason}", markup=False, soft_wrap=True)


def plot(found: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Tokens per second of each variant, one, 8 and 16 at a time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(found)[::-1]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.42 * len(names)), layout="constrained")
    for shift, (at_once, colour) in enumerate(((16, "#7fa7c9"), (8, "#3b6ea5"), (1, "#e8833a"))):
        widths = [found[name][f"tokens_per_s_{at_once}"] for name in names]
        places = [row + 0.27 * (shift - 1) for row in range(len(names))]
        bars = axes.barh(places, widths, height=0.26, color=colour, label=f"{at_once} at a time")
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("tokens per second")
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.tuning", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--config", type=Path, default=Path("configs/cpu.yaml"))
    parser.add_argument("--engine", help="name in the configuration; else its first")
    parser.add_argument("--only", type=lambda text: [part.strip() for part in text.split(",") if part.strip()],
                        help="names of variants, with commas between them")  # fmt: skip
    parser.add_argument("--out", type=Path, help="write everything to this file too")
    parser.add_argument("--plot", type=Path, help="write the tokens per second as a picture to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
