"""Engine: one vLLM engine in one deployment, spoken to in Chat Completions.

Runs what it is told to run. Does not know lanes, policy or the outside world.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, ValidationError
from ray import serve

from models import lock, store
from serve import lines
from serve.coalesce import coalesce
from serve.config import EngineConfig
from serve.lane_errors import (
    LaneError,
    LaneFull,
    LaneProtocolError,
    LaneRejected,
    LaneTooLong,
    LaneUnavailable,
)
from serve.lanes.base import LaneCall, Piece

if TYPE_CHECKING:  # vLLM is imported where it runs: the driver and the router start without it
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

NO_NETWORK = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
TOO_LONG = "This model's maximum context length is "
"""How vLLM begins to refuse a prompt for its length (vllm/renderers/params.py)."""


class Engine:
    """One vLLM engine. Closing an answer's iterator aborts the request inside vLLM."""

    # Serve awaits an async __init__; mypy knows only the usual kind.
    async def __init__(self, config: EngineConfig) -> None:  # type: ignore[misc]
        lines.join()
        os.environ.update(NO_NETWORK | environment(config))
        from starlette.datastructures import State
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.cli_args import FrontendArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self._served = Path(config.model).name
        front_names = {field.name for field in dataclasses.fields(FrontendArgs)}
        given = options(config)
        engine_args = AsyncEngineArgs(
            model=weights(config),
            revision=config.revision,
            served_model_name=[self._served],
            enable_log_requests=False,
            **{key: value for key, value in given.items() if key not in front_names},
        )
        front = FrontendArgs(**{key: value for key, value in given.items() if key in front_names})
        self._engine = AsyncLLM.from_engine_args(engine_args)
        self._state = State()
        await init_app_state(
            self._engine,
            self._state,
            argparse.Namespace(**(vars(front) | vars(engine_args))),
            supported_tasks=await self._engine.get_supported_tasks(),
        )

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        """Pieces of one answer, an empty one first: the call was taken. Raises LaneError."""
        from vllm.exceptions import VLLMError
        from vllm.v1.engine.exceptions import EngineDeadError

        yield []
        try:
            async with aclosing(coalesce(self._documents(self._request(call), call))) as pieces:
                async for piece in pieces:
                    yield piece
        except (VLLMError, EngineDeadError, ValidationError, ValueError) as error:
            raise _lane_error(call.lane, error) from None

    async def running(self) -> int:
        """Requests the engine is working on or has queued: what a client's departure must bring down."""
        return len(self._engine.output_processor.request_states)

    @property
    def quantization(self) -> str | None:
        """How vLLM holds the weights, None for as they are."""
        method: str | None = self._engine.vllm_config.model_config.quantization
        return method

    def stop(self) -> None:
        """End the engine's processes."""
        self._engine.shutdown()

    async def check_health(self) -> None:
        """Called by Serve; a dead engine makes it replace the replica."""
        await self._engine.check_health()

    def _request(self, call: LaneCall) -> "ChatCompletionRequest":
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        own: dict[str, JsonValue] = {"model": self._served, "stream": call.stream}
        if call.stream:
            own["stream_options"] = {"include_usage": True}
        return ChatCompletionRequest.model_validate(json.loads(call.body) | own)

    async def _documents(self, request: "ChatCompletionRequest", call: LaneCall) -> AsyncIterator[str]:
        answer = await self._state.openai_serving_chat.create_chat_completion(request, None)
        if hasattr(answer, "__aiter__"):
            async for event in answer:
                document = event.removeprefix("data: ").rstrip()
                if document != "[DONE]":
                    yield _chunk_or_raise(call.lane, document)
        elif hasattr(answer, "error"):
            raise refusal(call.lane, answer.error.message)
        else:
            yield answer.model_dump_json(exclude_none=True)


def _chunk_or_raise(lane: str, document: str) -> str:
    """A chunk. vLLM refuses a stream that finds its queue full by an event, and an answer in one piece by an error."""
    if not document.startswith('{"error"'):
        return document
    from vllm.exceptions import MaxQueuedTokensError, QueueOverflowError

    said = json.loads(document)["error"].get("message")
    if any(said == str(kind()) for kind in (QueueOverflowError, MaxQueuedTokensError)):
        raise LaneFull(lane, "the engine's queue is full")
    raise LaneUnavailable(lane, "the engine failed in mid-stream")


def _lane_error(lane: str, error: Exception) -> LaneError:
    from vllm.exceptions import MaxQueuedTokensError, QueueOverflowError, VLLMClientError
    from vllm.v1.engine.exceptions import EngineDeadError

    match error:
        case QueueOverflowError() | MaxQueuedTokensError():
            return LaneFull(lane, "the engine's queue is full")
        case VLLMClientError() | ValidationError():
            return refusal(lane, str(error))
        case EngineDeadError():
            return LaneUnavailable(lane, "the engine died")
        case _:
            return LaneProtocolError(lane, type(error).__name__)


def refusal(lane: str, message: str) -> LaneRejected:
    """vLLM's words where they are about lengths; nothing where they might quote the request."""
    if message.startswith(TOO_LONG):
        return LaneTooLong(lane, message.partition("\n")[0][:300])
    return LaneRejected(lane, "the engine refused the request")


def weights(config: EngineConfig) -> str:
    """The folder of the model, or the name by which vLLM finds it."""
    if Path(config.model).is_dir():
        return config.model
    return str(store.path(config.model)) if config.model in lock.shipped().names else config.model


def options(config: EngineConfig) -> dict[str, Any]:
    """vLLM's arguments, by their names in Python."""
    given: dict[str, JsonValue] = {"max_num_queued_reqs": 4 * config.max_ongoing_requests} | config.vllm
    if not config.num_gpus and given.get("dtype", "auto") == "auto":
        given["dtype"] = _cpu_dtype()
    return given


def _cpu_dtype() -> str:
    # bfloat16 is emulated where the processor lacks it, and slower there than float32.
    flags = Path("/proc/cpuinfo")
    native = flags.is_file() and any(name in flags.read_text() for name in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if native else "float32"


def environment(config: EngineConfig) -> dict[str, str]:
    """What vLLM reads from the environment on a machine without a GPU; empty with one."""
    if config.num_gpus:
        return {}
    cores = sorted(os.sched_getaffinity(0))[: config.threads]
    found = {
        "OMP_NUM_THREADS": str(len(cores)),
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),
        # One process schedules and computes: two of them wait for each other in loops that take the cores of the
        # threads that compute. Despite its name the engine keeps a process of its own (vllm/platforms/cpu.py).
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
    found |= _openmp()
    return found | ({"VLLM_CPU_KVCACHE_SPACE": str(config.kv_cache_gib)} if config.kv_cache_gib else {})


def _openmp() -> dict[str, str]:
    """Intel's OpenMP for the engine's processes, where its wheel is installed.

    Its threads wait for 5 ms before they sleep, as vLLM sets them (vllm/utils/ompmultiprocessing.py).
    """
    library = Path(sys.prefix) / "lib" / "libiomp5.so"
    if not library.is_file() or set(" :") & set(str(library)):  # both separate names in LD_PRELOAD
        return {}
    loaded = os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    names = dict.fromkeys([*loaded, str(library)])
    return {"LD_PRELOAD": ":".join(names), "KMP_BLOCKTIME": "5", "KMP_TPAUSE": "0"}


# Serve learns from a health check that a replica is dead; until then the router waits for it in vain.
EngineDeployment = serve.deployment(health_check_period_s=2, health_check_timeout_s=60)(Engine)
