"""`bench.quality task`: its figures add up, and a folder without the sets is refused by name."""

from pathlib import Path

import pytest

from bench.quality import task
from bench.quality.__main__ import main
from models.scout.prescout import PreScout
from serve.signals.readings import TaskType


def test_the_shares_are_of_the_texts_given() -> None:
    plain = "Translate this sentence into French: good morning, my friends."
    prescout = PreScout.load()
    said = prescout.score(plain)[1].task
    other: TaskType = "formatting" if said != "formatting" else "other"
    found = task.measure("some", [(plain, said), (plain, other)], prescout)
    assert (found["n"], found["accuracy"]) == (2, 0.5)
    assert (found["sure"], found["accuracy_sure"]) in {(1.0, 0.5), (0.0, 0.0)}


def test_a_folder_without_the_sets_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task", "--data", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
