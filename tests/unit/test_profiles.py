"""Every file in configs/: it loads, its engines' options are vLLM's, and what it puts on a GPU fits there."""

import importlib.util
import typing
from pathlib import Path

import pytest

from models.scout import head
from serve.app import graph
from serve.config import Config, load
from serve.config.engines import OWN_MODELS
from serve.render import group_of
from tests.support.manifests import deployed
from tests.support.shipped import SHIPPED

GPU_CONFIGS = [path for path in SHIPPED if path.name.startswith(("gpu-", "cluster"))]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    config = load(path)
    assert bool(config.engines) == (config.profile != "core")
    assert deployed(graph(config)).keys() >= {f"Engine-{name}" for name in config.engines}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_engine_options_pass_vllm_s_own_parser(path: Path) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: the options of engines are not checked")
    for name, engine in load(path).engines.items():
        refused = parsed(engine.vllm)
        assert refused is None, f"{path.name}: engines.{name}.vllm: {refused}"


def test_the_parser_refuses_a_misspelt_option_and_a_wrong_value() -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: the options of engines are not checked")
    assert "max_model_length" in str(parsed({"max_model_length": 1}))
    assert "kv-cache-dtype" in str(parsed({"kv_cache_dtype": "float99"}))
    assert "max-num-seqs" in str(parsed({"max_num_seqs": "many"}))


def parsed(options: typing.Mapping[str, object]) -> str | None:
    """What vLLM's command line says against engine options, None when it takes them."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser(exit_on_error=False))  # type: ignore[no-untyped-call]
    known = {action.dest for action in parser._actions}
    if unknown := options.keys() - known:
        return f"no such option: {min(unknown)}"
    words: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if value is True else [f"--no-{flag[2:]}"] if value is False else [flag, str(value)]
    try:
        parser.parse_args(words)
    except BaseException as error:
        if not isinstance(error, Exception | SystemExit):
            raise
        return f"{error} {error.__context__} {words}"
    return None


@pytest.mark.parametrize("path", GPU_CONFIGS, ids=lambda path: path.name)
def test_what_shares_a_card_fits_on_it(path: Path) -> None:
    config = load(path)
    sharing = [name for name in config.engines if group_of(config, f"Engine-{name}") == "gpu-shared"]
    assert config.scout
    scout = config.scout.num_gpus
    assert scout
    shares = [config.engines[name].num_gpus for name in sharing]
    memory = [utilization(config, name) for name in sharing]
    assert 0 < sum(shares) + scout <= 1
    assert sum(memory) + scout <= 1


@pytest.mark.parametrize("path", GPU_CONFIGS, ids=lambda path: path.name)
def test_the_scout_there_is_the_instruct_model_whose_head_is_shipped(path: Path) -> None:
    scout = load(path).scout
    assert scout
    assert (scout.backend, scout.model, scout.bits, scout.head) == (
        "causal_lm",
        OWN_MODELS["causal_lm"],
        4,
        None,
    )
    assert shipped_head("scout_causal.safetensors").version


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_no_shipped_configuration_waits_for_a_scout_that_has_shown_no_gain(path: Path) -> None:
    config = load(path)
    assert config.scout is None or config.signals.sure_at == 0


def shipped_head(name: str) -> head.Head:
    """One of the heads beside the code of the back ends."""
    return head.load(Path(head.__file__).with_name(name))


@pytest.mark.parametrize("path", GPU_CONFIGS, ids=lambda path: path.name)
def test_an_engine_of_several_cards_asks_for_as_many_as_it_shards_over(path: Path) -> None:
    for name, engine in load(path).engines.items():
        shards = engine.vllm.get("tensor_parallel_size", 1)
        assert max(1, engine.num_gpus) == shards, name
        assert utilization(load(path), name) <= 0.92


def utilization(config: Config, name: str) -> float:
    return typing.cast(float, config.engines[name].vllm["gpu_memory_utilization"])
