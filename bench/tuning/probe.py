"""One engine, started, asked and ended in a process of its own: `python -m bench.tuning.probe ENGINE.json`.

Prints what it measured as one line of JSON, the last one. Speaks to vLLM as `serve.engine` does, below the chat
templates: prompts are token numbers, so nothing but the engine is measured.
"""

import asyncio
import json
import math
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from serve.config import EngineConfig
from serve.engine import NO_NETWORK, environment, options, weights

SHORT, LONG = 64, 1200
ANSWER = 32
ROUNDS = 2
KNOWN = 20_000
"""Token numbers below this are ordinary words in every vocabulary of the models here."""


class _Engine:
    """An engine that is asked for whole answers by number."""

    def __init__(self, engine: EngineConfig) -> None:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        engine_fields = set(AsyncEngineArgs.__dataclass_fields__)
        given = {name: value for name, value in options(engine).items() if name in engine_fields}
        arguments: dict[str, Any] = {"model": weights(engine), "enable_log_requests": False, **given}
        self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        self._random = random.Random(7)
        self._asked = 0

    def prompt(self, tokens: int) -> list[int]:
        """Numbers that nobody asked before."""
        return [self._random.randrange(100, KNOWN) for _ in range(tokens)]

    async def ask(self, prompt: list[int], answer: int = ANSWER) -> list[float]:
        """When each token came, in seconds from the asking."""
        began = time.perf_counter()
        return [time.perf_counter() - began async for _ in self._tokens(prompt, answer)]

    async def _tokens(self, prompt: list[int], answer: int) -> AsyncIterator[int]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        wanted = SamplingParams(
            temperature=0, max_tokens=answer, ignore_eos=True, output_kind=RequestOutputKind.DELTA
        )
        self._asked += 1
        async for part in self._llm.generate({"prompt_token_ids": prompt}, wanted, f"asked-{self._asked}"):
            for token in part.outputs[0].token_ids:
                yield token

    async def doubt(self, text: list[int]) -> float:
        """Mean of -log p of each token of `text` behind those before it (nats)."""
        from vllm import SamplingParams

        self._asked += 1
        wanted = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
        answers = self._llm.generate({"prompt_token_ids": text}, wanted, f"asked-{self._asked}")
        told = [answer async for answer in answers][-1].prompt_logprobs
        assert told is not None
        pairs = zip(text[1:], told[1:], strict=True)
        return -statistics.fmean(given[token].logprob for token, given in pairs if given is not None)

    def end(self) -> None:
        """Stop its processes."""
        self._llm.shutdown()


async def measured(engine: EngineConfig, texts: list[list[int]]) -> dict[str, Any]:
    """Every figure of one engine. `texts` are token numbers of prose, for the doubt."""
    began = time.perf_counter()
    one = _Engine(engine)
    try:
        await one.ask(one.prompt(SHORT), 4)
        found: dict[str, Any] = {"start_s": round(time.perf_counter() - began, 1)}
        rounds = [await _round(one) for _ in range(ROUNDS)]
        found |= {name: _middle([each[name] for each in rounds]) for name in rounds[0]}
        found["rounds_s"] = round(time.perf_counter() - began - found["start_s"], 1)
        doubts = [await one.doubt(text) for text in texts]
        found["perplexity"] = round(math.exp(statistics.fmean(doubts)), 4)
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        found["rss_mib"] = round(sum(process.memory_info().rss for process in family) / 2**20)
        return found
    finally:
        one.end()


async def _round(one: _Engine) -> dict[str, float]:
    """Seconds, and tokens per second."""
    alone = await one.ask(one.prompt(SHORT))
    found = {"first_token_s": alone[0], "tokens_per_s_1": (len(alone) - 1) / (alone[-1] - alone[0])}
    for at_once in (8, 16):
        began = time.perf_counter()
        answers = await asyncio.gather(*(one.ask(one.prompt(SHORT)) for _ in range(at_once)))
        found[f"tokens_per_s_{at_once}"] = sum(map(len, answers)) / (time.perf_counter() - began)
    long = one.prompt(LONG)
    found["first_token_long_s"] = (await one.ask(long, 2))[0]
    found["first_token_long_again_s"] = (await one.ask([*long, *one.prompt(SHORT)], 2))[0]
    # Somebody's stream while a long prompt comes in beside it.
    stream = asyncio.create_task(one.ask(one.prompt(SHORT), 2 * ANSWER))
    await asyncio.sleep(0.5)
    await one.ask(one.prompt(LONG), 2)
    times = await stream
    found["longest_gap_s"] = max(later - sooner for sooner, later in pairwise(times))
    return found


def _set(wanted: Mapping[str, str | None]) -> None:
    for name, value in wanted.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def _middle(values: list[float]) -> float:
    return round(statistics.median(values), 4)


def main(path: str) -> None:
    """Measure the engine of the file and print it."""
    asked = json.loads(Path(path).read_text(encoding="utf-8"))
    engine = EngineConfig.model_validate(asked["engine"])
    _set(NO_NETWORK | environment(engine) | asked["environment"])
    print(json.dumps(asyncio.run(measured(engine, asked["texts"]))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
