"""What an engine's processes are told by the environment on a machine without a GPU."""

import sys
from pathlib import Path

import pytest

from serve.config import EngineConfig
from serve.engine import environment

CPU = EngineConfig(model="small", threads=1, kv_cache_gib=2)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    path = tmp_path / "lib" / "libiomp5.so"
    path.parent.mkdir()
    path.touch()
    return path


def test_an_engine_on_a_gpu_is_told_nothing(library: Path) -> None:
    assert environment(EngineConfig(model="small", num_gpus=1)) == {}


def test_one_process_schedules_and_computes_on_as_many_threads_as_configured(library: Path) -> None:
    found = environment(CPU)
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert found["VLLM_CPU_KVCACHE_SPACE"] == "2"


def test_intels_openmp_comes_behind_what_is_loaded_already_and_once(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment(CPU)["LD_PRELOAD"] == str(library)
    monkeypatch.setenv("LD_PRELOAD", f"/lib/other.so {library}")
    assert environment(CPU)["LD_PRELOAD"] == f"/lib/other.so:{library}"


def test_without_intels_openmp_nothing_is_loaded(library: Path) -> None:
    library.unlink()
    assert "LD_PRELOAD" not in environment(CPU)
    assert "KMP_BLOCKTIME" not in environment(CPU)


@pytest.mark.parametrize("name", ["my env", "my:env"])
def test_a_path_that_cannot_be_named_in_the_variable_is_not(
    name: str, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.parent.rename(library.parents[1] / name)
    folder = library.parents[1] / name
    (folder / "lib").mkdir()
    (folder / "lib" / library.name).touch()
    monkeypatch.setattr(sys, "prefix", str(folder))
    assert "LD_PRELOAD" not in environment(CPU)
