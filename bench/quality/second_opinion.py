"""When the Scout is asked on real prompts, and what its opinion adds to the pre-scout's where outcomes are known.

Asks the very class of the deployment, in this process and without its deadline. Trains nothing, routes nothing.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import report
from bench.quality.cases import DataUnreadable
from bench.quality.curves import Floats, Ints, Outcomes, figures
from bench.quality.labelled import rows
from bench.quality.outcomes import Duel, duels
from bench.quality.routing import CONFIG, view
from models.scout.causal_training import Kept
from models.scout.prescout import PreScout
from serve.config import Config, ScoutConfig, SignalsConfig, load
from serve.decision import LaneState
from serve.policy import decide, scout_matters
from serve.request import RequestView
from serve.scout import Judge, folder, loaded
from serve.signals import constraints, context, sensitivity, task
from serve.signals.readings import ScoutReading, Signals
from serve.signals.scout import Judgement, prejudge
from serve.wish import Wish

Backend = Literal["encoder", "causal_lm", "off"]
REAL = "prompts_wild"
RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one prompt: whether the pre-scout was unsure, whether the Scout could change the
    decision, whether it did (None where it was not asked)."""

    unsure: bool
    matters: bool
    changed: bool | None


@dataclass(frozen=True, slots=True)
class Worth:
    """APGR of one pair on a sample, by difficulty as the pre-scout sees it, and with the Scout where it is asked.

    added   the difference and its 95% interval, paired bootstrap over prompts; None without a gap
    gain    APGR by the likely gain, which no Scout changes
    """

    pair: str
    rows: int
    asked: float
    gain: float | None
    alone: float | None
    both: float | None
    added: tuple[float, float, float] | None


def run(
    data: Path, pairs: Path | None, out: Path | None, config: Path | None, scout: Backend, sample: int,
    labels: Path | None, console: Console,
) -> int:  # fmt: skip
    """Prints both tables and writes `out`. `labels` is what causal_lm has read before. Raises DataUnreadable."""
    settings, prescout = asking(load(config or CONFIG)), PreScout.load()
    judge = None if scout == "off" else _judge(_configured(settings, scout), labels)
    real = _real(data)
    told = [asked(prescout, judge, view(text), settings) for text in _tracked(real, sample, console)]
    found = [worth(duel, prescout, judge, settings, sample, console) for duel in duels(data, pairs)]
    _show(scout, told, found, console)
    report.save(out, _json(scout, told, found))
    return 0


def asking(config: Config) -> Config:
    """`config` with the Scout asked where the pre-scout is less sure than usual, though it may ask nobody."""
    if config.signals.sure_at:
        return config
    usual = SignalsConfig.model_fields["sure_at"].default
    return config.model_copy(update={"signals": config.signals.model_copy(update={"sure_at": usual})})


def asked(prescout: PreScout, judge: Judge | None, seen: RequestView, config: Config) -> Asked:
    """Decides as the Router does when all lanes are free."""
    first = prejudge(prescout, seen)
    signals = Signals(
        context.read(seen),
        constraints.read(seen),
        sensitivity.read(seen),
        first[0],
        task.settle(seen, first[1]),
    )
    states = {lane.name: LaneState.READY for lane in config.lanes}
    unsure = first[0].confidence < config.signals.sure_at
    matters = unsure and scout_matters(signals, seen, Wish(), states, config)
    if judge is None or not matters:
        return Asked(unsure, matters, None)
    second = merged(first, judge.judge([seen.prompt or seen.conversation])[0])
    after = replace(signals, scout=second[0], task=task.settle(seen, second[1]))
    lanes = [decide(one, seen, Wish(), states, config).chain[0] for one in (signals, after)]
    return Asked(unsure, matters, lanes[0] != lanes[1])


def merged(first: Judgement, second: Judgement) -> Judgement:
    """The Scout's judgement with the gain of the pre-scout, as the signals are gathered."""
    return replace(second[0], gain=first[0].gain, unfamiliar=first[0].unfamiliar), second[1]


def worth(
    duel: Duel, prescout: PreScout, judge: Judge | None, config: Config, sample: int, console: Console
) -> Worth:
    """Measures a sample of one pair."""
    chosen = np.random.default_rng(0).permutation(len(duel.prompts))[:sample]
    views = [view(duel.prompts[place]) for place in chosen]
    firsts = [prejudge(prescout, seen) for seen in views]
    unsure = [first[0].confidence < config.signals.sure_at for first in firsts]
    both = []
    for seen, first, ask in track(
        list(zip(views, firsts, unsure, strict=True)), duel.pair.name, console=console, transient=True
    ):
        text = seen.prompt or seen.conversation
        both.append(judge.judge([text])[0][0] if judge and ask else first[0])
    outcomes = Outcomes(duel.weak, duel.strong, duel.weak_cost, duel.strong_cost).taken(chosen)
    alone_score, both_score = (np.array([hardness(one) for one in each])
                               for each in ([first[0] for first in firsts], both))  # fmt: skip
    gain = np.array([first[0].gain for first in firsts])
    return Worth(
        duel.pair.name,
        len(views),
        float(np.mean(unsure)),
        figures(gain, outcomes).apgr,
        figures(alone_score, outcomes).apgr,
        figures(both_score, outcomes).apgr,
        _added(alone_score, both_score, outcomes),
    )


def hardness(reading: ScoutReading) -> float:
    """The expected difficulty, from 0 (trivial) to 1 (complex)."""
    return reading.complex + reading.standard / 2


def _added(alone: Floats, both: Floats, outcomes: Outcomes) -> tuple[float, float, float] | None:
    generator, found = np.random.default_rng(0), []
    middle = _difference(alone, both, outcomes)
    for _ in range(RESAMPLES):
        drawn: Ints = generator.integers(0, alone.size, alone.size)
        found.append(_difference(alone[drawn], both[drawn], outcomes.taken(drawn)))
    known = [value for value in found if value is not None]
    if middle is None or len(known) < RESAMPLES / 2:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return middle, float(low), float(high)


def _difference(alone: Floats, both: Floats, outcomes: Outcomes) -> float | None:
    before, after = figures(alone, outcomes).apgr, figures(both, outcomes).apgr
    return None if before is None or after is None else after - before


def _configured(config: Config, scout: Backend) -> ScoutConfig:
    """The Scout of the configuration where it has this back end, else the shipped one, on the processor."""
    own = config.scout
    if own is not None and own.backend == scout:
        return own
    return ScoutConfig.model_validate({"backend": scout, "threads": 2})


def _judge(config: ScoutConfig, labels: Path | None) -> Judge:
    """What the deployment would run. Labels that were kept spare the instruct model the texts that it knows."""
    if labels is None or config.backend != "causal_lm":
        return loaded(config)
    from models.scout import causal

    kept = Kept(folder(config.model), labels, threads=config.threads)
    return causal.CausalHead.load(kept, Path(config.head) if config.head else causal.SHIPPED)


def _real(data: Path) -> list[str]:
    folder = data / REAL
    if not folder.is_dir():
        raise DataUnreadable(f"{data} has no folder {REAL}, whose prompts show how often the Scout is asked.")
    return [row["prompt"] for path in sorted(folder.glob("*.jsonl*")) for row in rows(path)]


def _tracked(texts: list[str], sample: int, console: Console) -> Sequence[str]:
    source = random.Random(0)
    chosen = source.sample(texts, min(sample, len(texts)))
    return list(track(chosen, "real prompts", console=console, transient=True))


def _shares(told: Sequence[Asked]) -> dict[str, float | None]:
    known = [one.changed for one in told if one.changed is not None]
    return {
        "unsure": float(np.mean([one.unsure for one in told])),
        "asked": float(np.mean([one.matters for one in told])),
        "changed": float(np.mean(known)) if known else None,
    }


def _json(scout: Backend, told: Sequence[Asked], found: Sequence[Worth]) -> dict[str, Any]:
    pairs = [asdict(one) for one in found]
    return {"scout": scout, "real_prompts": len(told), **_shares(told), "pairs": pairs}


def _show(scout: Backend, told: Sequence[Asked], found: Sequence[Worth], console: Console) -> None:
    shares = _shares(told)
    changed = (
        "" if shares["changed"] is None else f"; of these {shares['changed']:.1%} changed the first lane"
    )
    console.print(
        f"{len(told)} real prompts: the pre-scout is unsure of {shares['unsure']:.1%}, "
        f"the Scout's answer could change {shares['asked']:.1%}{changed}"
    )
    table = Table("pair", "prompts", "unsure", "APGR by gain", "by difficulty", f"with {scout}", "added (95%)",
                  title_justify="left")  # fmt: skip
    for one in found:
        added = "-" if one.added is None else "{:+.3f} ({:+.3f}..{:+.3f})".format(*one.added)
        cells = ("-" if value is None else f"{value:.3f}" for value in (one.gain, one.alone, one.both))
        table.add_row(one.pair, str(one.rows), f"{one.asked:.0%}", *cells, added)
    console.print(table)
