"""bench.tuning: rounded weights, the settings that are tried, and what is said of one that fails."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.tuning.__main__ import COLUMNS, main, plot, show
from bench.tuning.rounded import GROUP, rounded
from bench.tuning.variants import VARIANTS, Variant
from serve.config import EngineConfig

pytest.importorskip("torch", reason="torch is not installed")

import torch
from safetensors.torch import load_file, save_file


def _model(folder: Path) -> Path:
    folder.mkdir()
    torch.manual_seed(3)
    weights = {
        "model.layers.0.self_attn.q_proj.weight": torch.randn(64, 2 * GROUP).to(torch.bfloat16),
        "model.embed_tokens.weight": torch.randn(10, 2 * GROUP).to(torch.bfloat16),
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "qwen2"}', encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    return folder


def test_int8_is_within_half_a_step_of_the_weights_and_leaves_the_embedding(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    exact = load_file(model / "model.safetensors")
    found = load_file(rounded(model, "int8", tmp_path / "int8") / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    scale = found[f"{name}_scale"].float()
    assert found[name].dtype == torch.int8
    error = (found[name].float() * scale - exact[name].float()).abs()
    assert bool((error <= 0.5 * scale + 127 * scale * 2**-8).all())  # the scale itself is a bfloat16
    assert torch.equal(found["model.embed_tokens.weight"], exact["model.embed_tokens.weight"])


def test_int4_has_a_scale_for_every_group_and_names_its_layout(tmp_path: Path) -> None:
    folder = rounded(_model(tmp_path / "model"), "int4", tmp_path / "int4")
    found = load_file(folder / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert found[f"{name}_packed"].shape == (64, 2 * GROUP // 8)
    assert found[f"{name}_scale"].shape == (64, 2)
    assert found[f"{name}_shape"].tolist() == [64, 2 * GROUP]
    layout = json.loads((folder / "config.json").read_text(encoding="utf-8"))["quantization_config"]
    assert layout["format"] == "pack-quantized"
    assert layout["config_groups"]["group_0"]["weights"]["num_bits"] == 4
    assert (folder / "tokenizer.json").is_file()


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
