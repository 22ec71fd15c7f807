"""`python -m bench.quality routing` and its neighbours: figures for rankings whose worth is plain."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.quality.__main__ import main
from bench.quality.cases import DataUnreadable
from bench.quality.curves import Outcomes, figures, fixed
from bench.quality.disguise import CLOTHES
from bench.quality.labelled import auc
from bench.quality.outcomes import ANSWER_TOKENS, duels, read_pairs

FIELDS = {
    *("name", "set", "n", "router", "apgr", "apgr_ci", "cpt50", "cpt80"),
    *("saved95", "saved98", "cpst", "robustness"),
}
ROUTERS = {"ours", "random", "always-weak", "always-strong", "task-mean", "oracle"}


def outcomes() -> Outcomes:
    weak = np.array([0.0, 0.0, 1.0, 1.0])
    return Outcomes(weak, np.ones(4), np.full(4, 1.0), np.full(4, 10.0))


def test_a_perfect_ranking_needs_only_the_calls_that_gain() -> None:
    found = figures(np.array([4.0, 3.0, 2.0, 1.0]), outcomes())
    assert found.apgr == pytest.approx(0.75)
    assert (found.cpt50, found.cpt80) == (0.25, 0.5)
    assert found.saved95 == found.saved98 == pytest.approx(1 - 22 / 40)
    assert found.cpst == pytest.approx(22 / 4)


def test_equal_scores_are_worth_a_random_order() -> None:
    assert figures(np.zeros(4), outcomes()).apgr == pytest.approx(0.5)


def test_without_a_gap_there_is_nothing_to_recover() -> None:
    same = Outcomes(np.ones(3), np.ones(3), np.ones(3), np.ones(3))
    found = figures(np.array([0.0, 1.0, 2.0]), same)
    assert (found.apgr, found.cpt50, found.cpt80) == (None, None, None)


def test_always_strong_saves_nothing_and_always_weak_misses_the_quality() -> None:
    strong, weak = fixed(outcomes(), strong=True), fixed(outcomes(), strong=False)
    assert (strong.saved95, strong.cpst) == (0.0, 10.0)
    assert (weak.saved95, weak.cpst) == (None, 2.0)


def test_ranks_tell_two_classes_apart() -> None:
    positive = np.array([False, False, True, True])
    assert auc(np.array([1, 2, 3, 4]), positive) == 1.0
    assert auc(np.array([1, 1, 1, 1]), positive) == 0.5


@pytest.mark.parametrize("name", CLOTHES)
def test_a_disguise_keeps_the_letters(name: str) -> None:
    text = "Name a river. Say why it floods.\nAnswer in one line."
    dressed = CLOTHES[name](text, random.Random(1))
    assert dressed != text
    missing = set(text.lower()) - set(dressed.lower())
    assert not missing


def save(folder: Path, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set nobody knows: the strong model wins every other prompt."""
    folder = tmp_path_factory.mktemp("data")
    rows = [{"prompt": f"How much is {n} plus {n}?", "scores": {"small": n % 2, "big": 1}} for n in range(12)]
    save(folder / "mine", rows)
    return folder


def test_an_unknown_set_gives_every_field_for_every_router(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["routing", "--data", str(data), "--json", str(out)]) == 0
    results = json.loads(out.read_text())["results"]
    assert {row["router"] for row in results} == ROUTERS
    assert all(set(row) == FIELDS and row["n"] == 12 and row["set"] == "mine" for row in results)
    by_name = {row["router"]: row for row in results}
    assert by_name["random"]["apgr"] == pytest.approx(0.5)
    assert by_name["oracle"]["apgr"] > by_name["random"]["apgr"]
    low, high = by_name["ours"]["apgr_ci"]
    assert low <= by_name["ours"]["apgr"] <= high


def test_no_interval_is_cut_off_in_a_pipe(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["routing", "--data", str(data)]) == 0
    printed = capsys.readouterr().out
    assert "APGR" in printed
    assert "…" not in printed


def test_a_pair_of_models_nobody_scored_is_refused(data: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text("- {name: x, set: mine, file: rows, weak: small, strong: huge}")
    assert main(["routing", "--data", str(data), "--pairs", str(pairs)]) == 1


NOT_NUMBERS = ("null", '"two"', "NaN", "[2]")


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"good"'])
def test_a_score_that_is_no_number_is_refused_with_its_line(
    tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = '{"prompt": "How much is 1 plus 1?", "scores": {"small": 0, "big": 1}}'
    (tmp_path / "rows.jsonl").write_text(row + "\n" + row.replace("1}", f"{value}}}"))
    assert main(["routing", "--data", str(tmp_path)]) == 1
    assert "rows.jsonl, line 2" in capsys.readouterr().err


def test_a_row_without_a_score_of_both_models_does_not_count(tmp_path: Path) -> None:
    known = {"prompt": "How much is 1 plus 1?", "scores": {"small": 0, "big": 1}, "subject": 3}
    rows = [known, known | {"scores": {"small": None, "big": 1}}, known | {"scores": {"small": 0}}]
    save(tmp_path / "mine", rows)
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text("- {name: x, set: mine, weak: small, strong: big}")
    (duel,) = duels(tmp_path, pairs)
    assert (len(duel.prompts), duel.tasks) == (1, ("3",))


def test_a_cost_that_is_not_known_goes_by_the_price(tmp_path: Path) -> None:
    row = {"prompt": "1 + 1?", "scores": {"a": 0, "b": 1}, "cost_usd": {"a": None, "b": 0.5}}
    save(tmp_path / "mine", [row])
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text("- {name: x, set: mine, weak: a, strong: b, price: {weak: [0, 10], strong: [0, 10]}}")
    (duel,) = duels(tmp_path, pairs)
    assert (duel.weak_cost[0], duel.strong_cost[0]) == (pytest.approx(10 * ANSWER_TOKENS / 1e6), 0.5)


@pytest.mark.parametrize("price", ["-1", ".nan", ".inf"])
def test_a_price_that_is_none_is_refused(tmp_path: Path, price: str) -> None:
    pairs = tmp_path / "pairs.yaml"
    pairs.write_text(f"- {{name: x, set: mine, weak: a, strong: b, price: {{weak: [0, {price}]}}}}")
    with pytest.raises(DataUnreadable, match="weak"):
        read_pairs(pairs)


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("name", ["n_constraints", "n_added_constraints"])
def test_a_count_that_is_no_number_is_refused(
    tmp_path: Path, name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text(f'{{"prompt": "Use no commas.", "{name}": {value}}}')
    assert main(["constraints", "--data", str(tmp_path)]) == 1
    assert name in capsys.readouterr().err


def test_counts_within_one_are_counted(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Use no commas. Answer in French.", "n_constraints": 2},
        {"prompt": "Hello there", "n_constraints": 3},
    ]
    save(tmp_path / "counts", rows)
    out = tmp_path / "out.json"
    assert main(["constraints", "--data", str(tmp_path), "--json", str(out)]) == 0
    (found,) = json.loads(out.read_text())["results"]
    assert (found["n"], found["within1"], found["auc"]) == (2, 0.5, None)
