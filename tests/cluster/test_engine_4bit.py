"""The 4-bit path is real: vLLM quantises with bitsandbytes and still answers rightly, without a GPU."""

import json
import os
import subprocess
import sys

import pytest

from models import store
from models.errors import ModelMissing
from tests.cluster.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FOUR_BIT = {
    "model": "qwen2.5-coder-0.5b-instruct",
    "kv_cache_gib": 1,
    "vllm": {
        "quantization": "bitsandbytes",
        "load_format": "bitsandbytes",
        "dtype": "bfloat16",  # float32 fails an assertion in the plugin
        "max_model_len": 512,
        "max_num_seqs": 1,
        "enforce_eager": True,
    },
}


def test_a_bitsandbytes_4_bit_engine_answers_rightly_on_cpu() -> None:
    pytest.importorskip("vllm", reason="the CPU engine is not installed: make test installs it")
    pytest.importorskip("vllm_bnb_plugin", reason="vllm-bnb-plugin is not installed: make test installs it")
    try:
        store.path("qwen2.5-coder-0.5b-instruct")
    except ModelMissing as missing:
        pytest.skip(str(missing))
    question = "What is the capital of France? Answer with one word."
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.one_answer", json.dumps(FOUR_BIT), question],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    lines = dict(
        line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("ANSWER ", "QUANT"))
    )
    assert "ANSWER" in lines, done.stderr[-3000:]
    assert lines["QUANTIZATION"] == "bitsandbytes"
    assert "Paris" in json.loads(lines["ANSWER"])["choices"][0]["message"]["content"]
