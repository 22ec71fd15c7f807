"""Promises of the demand counter: an artefact that does not fit is refused, training data say what they mean."""

from collections import Counter
from pathlib import Path

import pytest

from models.scout import counter, demands
from models.scout.head import ArtefactError
from serve.signals import constraints


def test_the_shipped_counter_fits_the_measures() -> None:
    assert counter.load(constraints.MEASURES).names == constraints.MEASURES


def test_a_counter_for_other_measures_is_refused() -> None:
    with pytest.raises(ArtefactError, match="another version"):
        counter.load((*constraints.MEASURES, "more"))


def test_a_broken_file_is_refused_with_its_path(tmp_path: Path) -> None:
    broken = tmp_path / "counter.safetensors"
    broken.write_bytes(counter.SHIPPED.read_bytes()[:-8])
    with pytest.raises(ArtefactError, match="counter"):
        counter.load(constraints.MEASURES, broken)


def test_saving_gives_the_same_counter(tmp_path: Path) -> None:
    shipped = counter.load(constraints.MEASURES)
    counter.save(shipped, tmp_path / "one", {})
    row = constraints.grammar("Answer in French. Use at most 50 words. Use no commas.").measures
    assert counter.load(constraints.MEASURES, tmp_path / "one").estimate(row, 3) == shipped.estimate(row, 3)


def test_training_prompts_are_the_same_for_the_same_seed_and_have_all_counts() -> None:
    rows = list(demands.rows(0))
    assert rows == list(demands.rows(0))
    assert set(Counter(count for _, _, count in rows)) == set(range(demands.MOST + 1))


def test_the_phrases_that_measure_are_in_no_training_prompt() -> None:
    held = {
        line for (_, kind), lines in demands.templates().items() if kind.startswith("held_") for line in lines
    }
    taught = [
        line
        for (_, kind), lines in demands.templates().items()
        if not kind.startswith("held_")
        for line in lines
    ]
    assert len(held) > 100
    assert held.isdisjoint(taught)


@pytest.mark.parametrize("held", [False, True])
def test_lists_say_how_many_demands_they_run_together(held: bool) -> None:
    rows = list(demands.lists(0, held))
    assert rows == list(demands.lists(0, held))
    assert {count for _, _, count in rows} == set(range(demands.MOST + 1))


@pytest.mark.parametrize(
    ("few", "many"),
    [
        pytest.param(
            "Write a poem about the sea in at most ten lines.",
            "Write a poem about the sea in at most ten lines. Use no commas. Start each line with a verb. "
            "Mention a ship at least twice and end with a question. Write it for young children.",
            id="english",
        ),
        pytest.param(
            "Beschreibe den Regen in höchstens 50 Wörtern.",
            "Beschreibe den Regen in höchstens 50 Wörtern. Verwende keine Kommas. Antworte auf Englisch. "
            "Beginne mit einer Frage. Gib das Ergebnis als Tabelle.",
            id="german",
        ),
        pytest.param(
            "Décris la pluie en moins de 50 mots.",
            "Décris la pluie en moins de 50 mots. Écris sans virgules. Réponds en anglais. Commence par une "
            "question. Présente le résultat sous forme de tableau.",
            id="french",
        ),
    ],
)
def test_more_demands_are_a_higher_density(few: str, many: str) -> None:
    low, high = (constraints.grammar(constraints.trimmed(text)) for text in (few, many))
    shipped = counter.load(constraints.MEASURES)
    assert shipped.estimate(low.measures, low.counted) < 2.5
    assert shipped.estimate(high.measures, high.counted) > 3.5
