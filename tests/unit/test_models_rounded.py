"""A model rounded to 8 or 4 bits: how near, in which layout, and what is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models import rounded as rounding
from models.cli import app
from models.errors import ConvertFailed
from models.rounded import GROUP, rounded

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


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    model, into = _model(tmp_path / "model"), tmp_path / "into"
    into.mkdir()
    (into / "mine").touch()
    with pytest.raises(ConvertFailed, match="is there already"):
        rounded(model, "int8", into)
    assert [path.name for path in into.iterdir()] == ["mine"]


def test_what_cannot_be_rounded_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    once = rounded(model, "int8", tmp_path / "once")
    with pytest.raises(ConvertFailed, match="its weights are already"):
        rounded(once, "int8", tmp_path / "twice")
    with pytest.raises(ConvertFailed, match="cannot be read"):
        rounded(tmp_path / "nowhere", "int8", tmp_path / "twice")
    save_file({"other.weight": torch.ones(2, 2)}, model / "model.safetensors")
    with pytest.raises(ConvertFailed, match="none of its weights"):
        rounded(model, "int8", tmp_path / "twice")
    (model / "model.safetensors").unlink()
    with pytest.raises(ConvertFailed, match="no safetensors"):
        rounded(model, "int8", tmp_path / "twice")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "once"]


def test_the_command_says_where_the_copy_is_and_why_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, into = _model(tmp_path / "model"), tmp_path / "small-int8"
    monkeypatch.setattr(rounding, "pays", lambda: False)
    made = CliRunner().invoke(app, ["round", str(model), "--into", str(into)])
    assert made.exit_code == 0
    assert "slower here" in made.output
    assert str(into) in made.output
    again = CliRunner().invoke(app, ["round", str(model), "--into", str(into)])
    assert again.exit_code == 1
    assert "is there already" in again.output
