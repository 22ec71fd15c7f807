"""bench.engine without an engine: what is started, what is asked, and what is made of the answers."""

from pathlib import Path

import pytest

from bench import engine
from bench.client import Sample
from bench.engine import OURS, THEIRS, Bursts, figures
from bench.engine_servers import flags, one_engine
from serve.config import load
from serve.engine import environment, options

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_a_configuration_is_cut_down_to_one_engine_that_answers_everything(tmp_path: Path) -> None:
    path, found = one_engine(CONFIGS / "gpu-1.yaml", "tools", tmp_path)
    cut = load(path)
    assert list(cut.engines) == ["tools"]
    assert {lane.kind for lane in cut.lanes} == {"engine"}
    assert found == load(CONFIGS / "gpu-1.yaml").engines["tools"]
    assert cut.keys.mode == "open"
    first = one_engine(CONFIGS / "cpu.yaml", None, tmp_path)[1]
    assert first == load(CONFIGS / "cpu.yaml").engines["small"]


def test_vllm_gets_the_arguments_of_the_engine_as_flags() -> None:
    found = flags({"max_model_len": 8192, "enforce_eager": True, "async_scheduling": False, "x": {"a": [1]}})
    assert found == [
        "--max-model-len", "8192", "--enforce-eager", "--no-async-scheduling", "--x", '{"a": [1]}',
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["cpu.yaml", "gpu-1.yaml"])
def test_every_argument_of_a_shipped_engine_reaches_vllm(name: str) -> None:
    for config in load(CONFIGS / name).engines.values():
        given = flags(options(config))
        assert all(f"--{argument.replace('_', '-')}" in given for argument in config.vllm)
        assert ("--dtype" in given) is ("dtype" in config.vllm or not config.num_gpus)
        assert bool(environment(config)) is not bool(config.num_gpus)


def test_both_servers_are_asked_the_same_and_each_round_something_else() -> None:
    one, two, later = (
        [planned.prompt.body["messages"] for planned in engine._asked("m", 8, 40, turn)] for turn in (1, 1, 2)
    )
    assert one == two
    assert not [message for message in one if message in later]
    assert len({str(message) for message in one}) == 40


def test_figures_are_rates_of_whole_answers_and_the_difference_of_the_medians() -> None:
    def bursts(first_s: float, seconds: float) -> Bursts:
        stream = Sample("story", 2.0, first_s, first_s + 0.9, output_tokens=10)
        return Bursts([stream, stream, Sample("story", 1.0, error="timeout")], seconds, cpu_ms=400)

    found = figures({8: {OURS: bursts(0.25, 2.5), THEIRS: bursts(0.2, 2.0)}})["8 at a time"]
    assert found["tokens_per_s_ratio"] == 0.8
    assert found["added_first_token_p50_ms"] == 50
    ours = found["servers"][OURS]
    assert (ours["requests"], ours["failed"], ours["output_tokens"]) == (2, 1, 20)
    assert (ours["tokens_per_s"], ours["cpu_ms_per_token"]) == (8, 20)
    assert ours["between_tokens_s"]["p50"] == pytest.approx(0.1)


def test_a_server_that_answered_nothing_has_no_ratio() -> None:
    failed = Bursts([Sample("story", 1.0, error="timeout")], 1.0)
    found = figures({1: {OURS: failed, THEIRS: failed}})["1 at a time"]
    assert (found["tokens_per_s_ratio"], found["added_first_token_p50_ms"]) == (None, None)
    assert found["servers"][OURS]["failed"] == 1
