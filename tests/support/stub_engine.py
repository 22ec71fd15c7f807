"""An engine without a model: as many words as `max_tokens`, one every `word_s` seconds, each the process's id.

Speaks to its lane as the real Engine does. Does not read the question.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

from ray import serve

from serve.config import EngineConfig
from serve.lanes.base import LaneCall, Piece


class StubEngine:
    """`word_s` stands in the engine's `vllm` section."""

    def __init__(self, config: EngineConfig) -> None:
        self._word_s = float(str(config.vllm["word_s"]))
        self._running = 0

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        """The answer, in time; an empty piece first: the call was taken."""
        yield []
        words = json.loads(call.body).get("max_tokens", 10)
        self._running += 1
        try:
            for _ in range(words):
                await asyncio.sleep(self._word_s)
                if call.stream:
                    yield [_chunk({"content": f"{os.getpid()} "}, None)]
            yield [_chunk({}, "stop") if call.stream else _whole(words)]
        finally:
            self._running -= 1

    async def running(self) -> int:
        """Answers under way."""
        return self._running

    async def check_health(self) -> None:
        """Always well."""


def _chunk(delta: dict[str, str], end: str | None) -> str:
    return _document("chat.completion.chunk", {"index": 0, "delta": delta, "finish_reason": end})


def _whole(words: int) -> str:
    message = {"role": "assistant", "content": f"{os.getpid()} " * words}
    return _document("chat.completion", {"index": 0, "message": message, "finish_reason": "stop"})


def _document(kind: str, choice: dict[str, Any]) -> str:
    return json.dumps({"id": "stub", "object": kind, "created": 1, "model": "stub", "choices": [choice]})


StubDeployment = serve.deployment(health_check_period_s=2)(StubEngine)
