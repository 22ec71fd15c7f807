"""The gain model: trained on a toy set it ranks what it was shown, survives its file, and knows its limits."""

import gzip
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scout import gain, gain_training, grow, outcomes
from models.scout.gain import GainModel
from models.scout.head import ArtefactError
from models.scout.prescout import PreScout
from models.scout.shape import SHAPE, shape

WEAK, STRONG = "mixtral-8x7b-instruct", "gpt-4-1106-preview"


def hard(number: int) -> str:
    return f"Prove that {number} + {number} = {2 * number} and derive x^2 - {number} = 0 in full."


def easy(number: int) -> str:
    return f"Name one animal that lives near river number {number}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[GainModel, Path]:
    """A model of two families in which long sums gain and short questions do not."""
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out")
    patch = pytest.MonkeyPatch()
    patch.setattr(grow, "TREES", 20)
    patch.setattr(grow, "LEARNING_RATE", 0.2)
    patch.setattr(grow, "FOLDS", 2)
    for folder, file in (("routellm_mmlu", "mmlu"), ("routellm_gsm8k", "gsm8k")):
        (data / folder).mkdir()
        rows = []
        for number in range(100, 220):
            sums = number % 2 == 0
            won = sums if number % 10 else not sums
            text = hard(number) if sums else easy(number)
            rows.append({"prompt": f"{text} {file}", "scores": {WEAK: float(not won), STRONG: 1.0}})
        lines = "\n".join(map(json.dumps, rows)).encode()
        (data / folder / f"{file}.jsonl.gz").write_bytes(gzip.compress(lines))
    model = gain_training.run(data, out, seed=0)
    patch.undo()
    return model, out


def test_a_prompt_like_those_that_gained_is_likelier_to_gain(trained: tuple[GainModel, Path]) -> None:
    model, _ = trained
    assert model.judge(f"{hard(301)} mmlu").likely > 0.6 > 0.4 > model.judge(f"{easy(301)} mmlu").likely


def test_the_file_gives_the_same_model_back(trained: tuple[GainModel, Path]) -> None:
    model, out = trained
    again = gain.load(out / gain_training.NAME)
    for text in (hard(3), easy(3), "", "漢字" * 900):
        assert again.judge(text).likely == pytest.approx(model.judge(text).likely, abs=1e-3)
    assert again.version == model.version


def test_the_card_names_data_figures_and_limits(trained: tuple[GainModel, Path]) -> None:
    card = (trained[1] / gain_training.CARD).read_text("utf-8")
    for part in ("routellm_mmlu", "held out", "calibration error", "## Limits", "Licences"):
        assert part in card


def test_far_from_the_training_data_the_answer_is_the_prior(trained: tuple[GainModel, Path]) -> None:
    model, _ = trained
    far = model.judge("=+*^<> {}[]();_ " * 120)
    assert far.unfamiliar == 1.0
    assert far.likely == pytest.approx(model.prior)
    assert model.judge(f"{hard(112)} mmlu").unfamiliar < 0.5


def test_the_pre_scout_says_what_the_gain_model_says(trained: tuple[GainModel, Path]) -> None:
    model, out = trained
    scout, _ = PreScout.load(gains=out / gain_training.NAME).score(hard(110))
    assert scout.gain == pytest.approx(model.judge(hard(110)).likely, abs=1e-3)


def test_without_a_gain_model_the_complex_share_stands_in(tmp_path: Path) -> None:
    scout, _ = PreScout.load(gains=tmp_path / "none.safetensors").score(hard(110))
    assert (scout.gain, scout.unfamiliar) == (scout.complex, 1.0)


def test_capitals_change_nothing(trained: tuple[GainModel, Path]) -> None:
    model, _ = trained
    assert model.judge(hard(9).upper()) == model.judge(hard(9))


def test_a_broken_file_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "gain.safetensors"
    path.write_bytes(b"no tensors here")
    with pytest.raises(ArtefactError, match=r"gain\.safetensors"):
        gain.load(path)


def test_no_outcomes_are_refused_with_the_names_of_the_sets(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="routellm_mmlu"):
        gain_training.run(tmp_path, tmp_path, seed=0)


def test_unlicensed_sets_train_nothing() -> None:
    assert not {"routerbench_part", "bfcl_outputs"} & set(outcomes.LICENSED)


def test_a_copy_keeps_its_gain_and_its_key() -> None:
    row = outcomes.Outcome("f", "s/f", "One thing. Another thing. A third?", "key", 0.5, False)
    (copy,) = outcomes.disguised([row], 0)
    assert (copy.gain, copy.key, copy.original) == (0.5, "key", False)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(), max_size=300))
def test_any_text_has_a_finite_shape(text: str) -> None:
    found = shape(text, {"the": 1.0}, 9.0)
    assert found.shape == (len(SHAPE),)
    assert np.isfinite(found).all()


def test_apgr_of_known_rankings() -> None:
    gains = np.array([1.0, 0.0, 0.0, 0.0])
    assert grow.apgr(np.array([4.0, 3.0, 2.0, 1.0]), gains) == pytest.approx(0.875)
    assert grow.apgr(np.array([1.0, 2.0, 3.0, 4.0]), gains) == pytest.approx(0.125)
    assert grow.apgr(np.zeros(4), gains) == pytest.approx(0.5)
    assert grow.apgr(np.zeros(4), np.zeros(4)) is None


def test_reliability_of_a_calibrated_judge() -> None:
    source = random.Random(0)
    shares = np.array([source.random() for _ in range(4_000)])
    won = np.array([source.random() < share for share in shares])
    error, bins = grow.reliability(shares, won)
    assert error < 0.04
    assert math.isclose(sum(size for _, _, size in bins), 4_000)
