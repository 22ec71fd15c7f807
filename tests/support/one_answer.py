"""Start one Engine without Ray, ask it once, print the answer: `python -m tests.support.one_answer CONFIG_JSON PROMPT`.

A process of its own, because vLLM and torch read their settings when they are imported.
"""

import asyncio
import json
import sys

from serve.config import EngineConfig
from serve.egress import Permit
from serve.engine import Engine
from serve.lanes.base import LaneCall
from serve.signals.readings import Sensitivity


async def main(config: str, prompt: str) -> None:
    engine = Engine.__new__(Engine)
    await engine.__init__(EngineConfig.model_validate_json(config))  # type: ignore[misc]
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 12, "temperature": 0}
    call = LaneCall(
        "lane", json.dumps(body).encode(), False, Permit(Sensitivity.PUBLIC, frozenset()), "dec_test"
    )
    async for piece in engine.answer(call):
        if piece:  # the first is empty: the call was taken
            print("ANSWER", piece[0], flush=True)
    print("QUANTIZATION", engine.quantization, flush=True)
    engine.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
