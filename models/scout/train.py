"""Trains the pre-scout, its gain model, the demand counter and the Scout heads, and writes artefacts and model cards.

`python -m models.scout.train --data DIR [--encoder DIR] [--out DIR] [--only gain|counter|classes] [--seed 0]`
`python -m models.scout.train --data DIR --only causal --causal DIR [--sample 1600] [--labels FILE.npz]`
Knows nothing about serving; does not choose which data may be used (see `sources`).
"""

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.progress import Progress

from models.scout import card, causal_training, counter_training, gain_training, head, outcomes, sources
from models.scout.evaluate import Outcome, evaluate, steps
from models.scout.features import Features, extract
from models.scout.fit import Array, Table, sparse_wide, table
from models.scout.prepare import Prepared, prepare

HERE = Path(__file__).parent
BATCH = 64


@dataclass(frozen=True, slots=True)
class Run:
    """What one training run was asked to do."""

    data: Path
    out: Path
    encoder: Path | None
    only: str | None
    seed: int
    causal: Path | None
    sample: int
    labels: Path | None
    bits: Literal[16, 32]


def main() -> None:
    """Runs the training from the command line. Exit status 1 where a set it needs is not there."""
    run = _arguments()
    try:
        _train_parts(run)
    except (FileNotFoundError, outcomes.NoOutcomes) as error:
        raise SystemExit(f"python -m models.scout.train: {error}") from None


def _train_parts(run: Run) -> None:
    if run.only in (None, "gain"):
        gain_training.run(run.data, run.out, run.seed)
    if run.only in (None, "counter"):
        counter_training.run(run.data, run.out, run.seed)
    if run.only in (None, "classes"):
        _classes(run)
    if run.causal:
        _causal(run, run.causal)


def _classes(run: Run) -> None:
    """Difficulty and task: the pre-scout's heads, and the Scout's where an encoder is given."""
    prepared = prepare(run.data, run.seed)
    with Progress() as progress:
        found = [extract(row.text) for row in progress.track(prepared.rows, description="features")]
        models = {"pre-scout": _train("prescout", sparse_wide(found), found, prepared, run, progress)}
        if run.encoder:
            wide = _embeddings(run.encoder, prepared, progress)
            models["scout"] = _train("scout_head", wide, found, prepared, run, progress)
    (run.out / "MODEL_CARD.md").write_text(card.render(prepared, models, run.seed), "utf-8")


def _causal(run: Run, directory: Path) -> None:
    """The head of the causal back end, and for comparison the encoder's on the same few rows."""
    prepared = causal_training.sampled(prepare(run.data, run.seed), run.sample)
    found = [extract(row.text) for row in prepared.rows]
    kept = causal_training.Kept(directory, run.labels, run.bits, threads=2)
    labels = kept.logits([row.text for row in prepared.rows])
    with Progress() as progress:
        models = {"causal_lm": _train("scout_causal", labels, found, prepared, run, progress)}
        if run.encoder:
            wide = _embeddings(run.encoder, prepared, progress)
            features = table(wide, np.stack([one.dense for one in found]), prepared.mask("train"))
            step = _stepper(progress, "encoder", steps(prepared))
            models["encoder, same rows"] = [
                evaluate(features, prepared, one, step) for one in prepared.targets
            ]
    (run.out / "CAUSAL_CARD.md").write_text(card.render_causal(prepared, models, run.seed), "utf-8")


def _arguments() -> Run:
    parser = argparse.ArgumentParser(prog="python -m models.scout.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the training sets")
    parser.add_argument("--out", type=Path, default=HERE, help="where artefacts and card go")
    parser.add_argument(
        "--encoder", type=Path, help="MiniLM folder; without it the Scout head is not trained"
    )
    parser.add_argument(
        "--only", choices=("gain", "counter", "classes", "causal"), help="train this part alone"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--causal", type=Path, help="folder of an instruct model: trains the head of causal_lm"
    )
    parser.add_argument("--sample", type=int, default=1600, help="prompts that the instruct model reads")
    parser.add_argument(
        "--labels", type=Path, help="keeps what it read in this .npz file, and goes on from there"
    )
    parser.add_argument(
        "--bits",
        type=int,
        choices=(16, 32),
        default=16,
        help="of a weight while it reads: bfloat16 or float32",
    )
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.error(f"--data {given.data} is not a folder")
    if given.only == "causal" and not given.causal:
        parser.error("--only causal needs --causal DIR, a folder such as `pointsman models path NAME` prints")
    given.out.mkdir(parents=True, exist_ok=True)
    return Run(**vars(given))


def _train(
    name: str, wide: Any, found: list[Features], prepared: Prepared, run: Run, progress: Progress
) -> list[Outcome]:
    """Fits, scores and saves one model; returns its figures."""
    features = table(wide, np.stack([one.dense for one in found]), prepared.mask("train"))
    step = _stepper(progress, name, steps(prepared))
    measured = [evaluate(features, prepared, target, step) for target in prepared.targets]
    head.save(_head(features, measured), run.out / f"{name}.safetensors", _about(run))
    return measured


def _stepper(progress: Progress, name: str, total: int) -> Callable[[str], None]:
    bar = progress.add_task(name, total=total)

    def step(doing: str) -> None:
        progress.update(bar, advance=1, description=f"{name} {doing}")

    return step


def _head(features: Table, measured: list[Outcome]) -> head.Head:
    """Both targets side by side, weights rounded as they will be stored."""
    parts = [features.unscaled(outcome.linear) for outcome in measured]
    wide, dense, bias = (_joined([part[index] for part in parts]) for index in range(3))
    wide = wide.astype(np.float16).astype(np.float32)
    difficulty, task = (outcome.linear.temperature for outcome in measured)
    digest = hashlib.sha256(wide.tobytes() + dense.tobytes() + bias.tobytes()).hexdigest()
    version = f"{date.today().isoformat()}.{digest[:8]}"
    return head.Head(wide, dense, bias, measured[1].target.classes, (difficulty, task), version)  # type: ignore[arg-type]


def _joined(parts: list[Array]) -> head.Floats:
    return np.concatenate(parts, axis=-1).astype(np.float32)


def _about(run: Run) -> dict[str, str]:
    return {"seed": str(run.seed), "training_sets": ",".join(sorted(sources.LICENCES))}


def _embeddings(encoder: Path, prepared: Prepared, progress: Progress) -> head.Floats:
    """Embeds all rows, texts of like length together so that little is padding."""
    from models.scout.encoder import WIDTH, Encoder  # torch is needed for this step only

    model = Encoder(encoder, threads=2)
    texts = [row.text for row in prepared.rows]
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    vectors = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for start in progress.track(range(0, len(order), BATCH), description="embeddings"):
        batch = order[start : start + BATCH]
        vectors[batch] = model.embed([texts[index] for index in batch])
    return vectors


if __name__ == "__main__":
    main()
