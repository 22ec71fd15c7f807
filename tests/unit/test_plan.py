"""The memory planner, against the weights on the disk and against vLLM's own counting."""

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from models import lock
from models.store import Store, cache_root
from serve.cli import app
from serve.config import load
from serve.errors import ConfigError
from serve.plan import (
    BLOCK,
    GB,
    GIB,
    KNOWN,
    Wish,
    kv_per_token,
    plan,
    quantization_of,
    shape_of,
    size,
    weights,
    work_space,
)
from tests.support.manifests import ROOT

LOCAL = "qwen2.5-coder-0.5b-instruct"
SEVEN = "Qwen/Qwen2.5-7B-Instruct-AWQ"


@pytest.fixture
def local() -> Path:
    store = Store(lock.shipped(), cache_root())
    if store.state(LOCAL) != "ready":
        pytest.skip(f"{LOCAL} is not here: pointsman models fetch {LOCAL}")
    return store.path(LOCAL)


def test_the_weights_of_the_local_model_are_counted_right(local: Path) -> None:
    on_disk = (local / "model.safetensors").stat().st_size
    assert weights(shape_of(str(local)), "none") == pytest.approx(on_disk, rel=0.05)


def test_a_block_of_the_kv_cache_is_as_large_as_vllm_says(local: Path) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: its counting is not compared")
    import torch
    from vllm.v1.kv_cache_interface import FullAttentionSpec

    for shape in (shape_of(str(local)), KNOWN["qwen2.5-7b"], KNOWN["llama-3.1-70b"]):
        layer = FullAttentionSpec(
            block_size=BLOCK, num_kv_heads=shape.kv_heads, head_size=shape.head, dtype=torch.bfloat16
        )
        assert layer.page_size_bytes * shape.num_hidden_layers == kv_per_token(shape) * BLOCK


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("qwen2.5-0.5b", 0.494),  # as the model cards say
        ("qwen2.5-7b", 7.62),
        ("qwen2.5-32b", 32.8),
        ("qwen2.5-72b", 72.7),
        ("qwen3-8b", 8.19),
        ("llama-3.1-8b", 8.03),
        ("llama-3.3-70b", 70.6),
        ("mistral-7b", 7.25),
    ],
)
def test_well_known_models_have_their_parameters(name: str, billions: float) -> None:
    assert weights(KNOWN[name], "none") / 2 == pytest.approx(billions * 1e9, rel=0.01)


@pytest.mark.parametrize("file", ["gpu-1.yaml", "gpu-2-tier.yaml", "cluster.yaml"])
def test_every_engine_of_the_gpu_profiles_fits_into_its_share(file: str) -> None:
    for name, engine in load(ROOT / "configs" / file).engines.items():
        options = engine.vllm
        shape = shape_of(engine.model)
        cards = int(str(options.get("tensor_parallel_size", 1)))
        batch = int(str(options["max_num_batched_tokens"]))
        card = (44.7 if cards > 1 else 22.5) * GIB
        needed = weights(shape, quantization_of(engine.model, shape)) / cards + work_space(shape, batch)
        cache = int(str(options["kv_cache_memory_bytes"]))
        assert needed + cache <= card * float(str(options["gpu_memory_utilization"])), name
        assert cache // kv_per_token(shape, cards) >= int(str(options["max_model_len"])), name


def test_the_name_says_how_a_checkpoint_is_quantized() -> None:
    shape = KNOWN["qwen2.5-7b"]
    assert quantization_of(SEVEN, shape) == "awq"
    assert quantization_of("RedHatAI/Qwen2.5-7B-Instruct-quantized.w8a8", shape) == "int8"
    assert quantization_of("Qwen/Qwen2.5-7B-Instruct", shape) == "none"
    own = shape.model_copy(update={"quantization_config": {"quant_method": "gptq", "bits": 4}})
    assert quantization_of("mine", own) == "gptq"


@given(gb=st.integers(4, 200), name=st.sampled_from(sorted(KNOWN)), context=st.integers(1, 131072))
def test_more_memory_never_fits_less(gb: int, name: str, context: int) -> None:
    small, large = (plan(Wish(label * GB, KNOWN[name], "awq", context)) for label in (gb, gb + 8))
    assert small.requests <= large.requests
    assert small.weights + small.work + small.kv == small.usable
    assert small.fits == (small.tokens >= context)


def test_a_person_is_told_what_fits() -> None:
    done = CliRunner().invoke(app, ["plan", "--gpu", "24GB", "--model", SEVEN, "--context", "16384"])
    assert done.exit_code == 0
    assert "57344 bytes per token" in done.output
    assert "requests of 16384 tokens at once" in done.output


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--gpu", "24GB", "--model", "qwen2.5-72b"], 1, "does not fit"),
        (["--gpu", "24GB", "--model", "qwen2.5-7b", "--context", "999999"], 1, "one request may have 999999"),
        (["--gpu", "much", "--model", SEVEN], 2, "'much' is no size"),
        (["--gpu", "-24GB", "--model", SEVEN], 2, "'-24GB' is no size"),
        (["--gpu", "24parsecs", "--model", SEVEN], 2, "'24parsecs' is no size"),
        (["--gpu", "0GB", "--model", SEVEN], 2, "a GPU of 0 bytes is none"),
        (["--gpu", "24MB", "--model", SEVEN], 2, "a GPU of 24000000 bytes is none"),
        (["--gpu", "24GB", "--model", ""], 2, "no well-known model"),
        (["--gpu", "24GB", "--model", SEVEN, "--scout", "-1GB"], 2, "'-1GB' is no size"),
        (["--gpu", "24GB", "--model", "nobody"], 2, "no well-known model"),
        (["--gpu", "24GB", "--model", SEVEN, "--quantization", "2bit"], 2, "--quantization must be one of"),
        (["--gpu", "24GB", "--model", SEVEN, "--tensor-parallel", "3"], 2, "cannot be shared by 3 GPUs"),
    ],
)
def test_a_person_is_told_what_does_not(arguments: list[str], status: int, said: str) -> None:
    done = CliRunner().invoke(app, ["plan", *arguments])
    assert done.exit_code == status
    assert said in done.output


@pytest.mark.parametrize("content", ["{", "[]", '{"hidden_size": 0}', json.dumps({"num_experts": 8})])
def test_a_wrong_config_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        shape_of(str(tmp_path))


def test_a_mixture_of_experts_is_refused_rather_than_counted_wrong(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(KNOWN["qwen3-8b"].model_dump() | {"num_experts": 128}))
    with pytest.raises(ConfigError, match="mixture of experts"):
        shape_of(str(tmp_path))


def test_sizes_have_units() -> None:
    assert size("24GB") == size("24") == 24 * GB
    assert size("22.5GiB") == int(22.5 * GIB)
