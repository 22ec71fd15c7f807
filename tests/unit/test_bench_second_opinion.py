"""`python -m bench.quality routing --scout`: when a second opinion is asked, and what it is counted for."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bench.quality.__main__ import main
from bench.quality.outcomes import Duel, Pair
from bench.quality.routing import CONFIG, view
from bench.quality.second_opinion import asked, asking, hardness, worth
from models.scout.prescout import PreScout
from serve.config import Config, load
from serve.signals.readings import ScoutReading, TaskReading
from serve.signals.scout import Judgement

PROMPTS = [f"How much is {number} plus {number}?" for number in range(12)]


def rows(folder: Path, found: list[dict[str, object]]) -> None:
    folder.mkdir()
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, found)))


class Knowing:
    """Calls what ends in an even sum's prompt complex, everything else trivial; sure of both."""

    def judge(self, texts: list[str]) -> list[Judgement]:
        hard = [PROMPTS.index(text) % 2 == 0 for text in texts]
        return [
            (
                ScoutReading(float(not is_hard), 0.0, float(is_hard), 1.0, "scout"),
                TaskReading("reasoning", 1.0),
            )
            for is_hard in hard
        ]


@pytest.fixture(scope="module")
def prescout() -> PreScout:
    return PreScout.load()


def sure_at(level: float) -> Config:
    config = load(CONFIG)
    return config.model_copy(update={"signals": config.signals.model_copy(update={"sure_at": level})})


def duel() -> Duel:
    strong = np.array([float(number % 2 == 0) for number in range(12)])
    pair = Pair(name="mine", set="mine", weak="small", strong="big")
    return Duel(pair, tuple(PROMPTS), ("sums",) * 12, np.zeros(12), strong, np.ones(12), np.ones(12))


def test_an_opinion_counts_where_the_pre_scout_is_unsure(prescout: PreScout) -> None:
    found = worth(duel(), prescout, Knowing(), sure_at(1.0), 12, Console(quiet=True))
    assert (found.rows, found.asked) == (12, 1.0)
    assert found.both == pytest.approx(0.75)
    assert found.alone is not None
    assert found.both is not None
    assert found.added is not None
    assert found.added[0] == pytest.approx(found.both - found.alone)
    assert found.added[1] <= found.added[0] <= found.added[2]


def test_a_sure_pre_scout_asks_nobody(prescout: PreScout) -> None:
    found = worth(duel(), prescout, Knowing(), sure_at(0.0), 12, Console(quiet=True))
    assert found.asked == 0
    assert found.both == found.alone
    assert found.added == (0, 0, 0)
    told = asked(prescout, Knowing(), view(PROMPTS[0]), sure_at(0.0))
    assert (told.unsure, told.matters, told.changed) == (False, False, None)


def test_a_changed_lane_is_seen(prescout: PreScout) -> None:
    told = asked(prescout, Knowing(), view(PROMPTS[0]), sure_at(1.0))
    assert (told.unsure, told.matters, told.changed) == (True, True, True)


def test_a_configuration_that_asks_nobody_is_measured_as_if_it_asked() -> None:
    assert asking(sure_at(0)).signals.sure_at == 0.75
    assert asking(sure_at(0.5)).signals.sure_at == 0.5


def test_hardness_is_the_expected_difficulty() -> None:
    assert hardness(ScoutReading(0.5, 0.3, 0.2, 0.5, "scout")) == pytest.approx(0.35)


def test_the_command_writes_both_parts(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out.json"
    data.mkdir()
    rows(data / "prompts_wild", [{"prompt": text} for text in PROMPTS])
    rows(data / "mine", [{"prompt": t, "scores": {"small": n % 2, "big": 1}} for n, t in enumerate(PROMPTS)])
    assert main(["routing", "--data", str(data), "--scout", "off", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert (found["scout"], found["real_prompts"], found["changed"]) == ("off", 12, None)
    assert 0 <= found["asked"] <= found["unsure"] <= 1
    (pair,) = found["pairs"]
    assert (pair["rows"], pair["added"]) == (12, [0, 0, 0])
    assert main(["routing", "--data", str(data / "mine"), "--scout", "off"]) == 1
