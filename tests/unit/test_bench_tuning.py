"""bench.tuning: the settings that are tried, and what is said of one that fails."""

from pathlib import Path

import pytest
from rich.console import Console

from bench.tuning.__main__ import COLUMNS, main, plot, show
from bench.tuning.variants import VARIANTS, Variant
from serve.config import EngineConfig


def test_a_variant_changes_what_it_names_and_nothing_else() -> None:
    engine = EngineConfig(model="small", threads=2, vllm={"max_num_seqs": 8, "enforce_eager": True})
    changed = Variant("4 at a time", {"max_num_seqs": 4}).of(engine, "/weights")
    assert changed == engine.model_copy(
        update={"model": "/weights", "vllm": {"max_num_seqs": 4, "enforce_eager": True}}
    )
    assert Variant("one thread", threads=1).of(engine, "/weights").threads == 1


def test_names_can_be_given_on_the_command_line() -> None:
    names = [one.name for one in VARIANTS]
    assert len(set(names)) == len(names)
    assert not any("," in name for name in names)


def test_an_unknown_name_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "faster"]) == 2
    assert "unknown: faster" in capsys.readouterr().err


def test_the_table_has_the_figures_and_the_reason_of_what_failed(tmp_path: Path) -> None:
    figures = {name: float(number) for number, name in enumerate(COLUMNS, 1)}
    found = {"as configured": figures}
    result = {"found": found, "failed": {"compiled": "RuntimeError: no compiler"}}
    console = Console(record=True, width=200)
    show(console, result)
    told = console.export_text()
    assert "as configured" in told
    assert "compiled: RuntimeError: no compiler" in told
    plot(found, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
