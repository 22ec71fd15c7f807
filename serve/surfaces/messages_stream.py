"""A stream of chat chunks as the events of the Messages API, in their order.

message_start, then block after block (start, deltas, stop), message_delta, message_stop; `ping` where a lane thinks
and the client did not ask to see it. Knows nothing of lanes or time.
"""

import json
import uuid
from collections.abc import Iterator

from pydantic import JsonValue

from serve.errors import HttpError
from serve.surfaces import messages_answer as answers
from serve.wire.openai_answer import (
    ChatChunk,
    ChunkChoice,
    Delta,
    FinishReason,
    Thought,
    ToolCallDelta,
    Usage,
)

Object = dict[str, JsonValue]
Place = tuple[str, int]
"""A kind of block, and for a tool call its index."""

_THINKING: tuple[Place, Object] = (("thinking", 0), {"type": "thinking", "thinking": "", "signature": ""})
PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def event(kind: str, **rest: JsonValue) -> bytes:
    """One server-sent event."""
    data = json.dumps({"type": kind} | rest, separators=(",", ":"), ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


class EventWriter:
    """One stream long."""

    def __init__(self, asked: answers.Asked) -> None:
        self._asked = asked
        self._begun = False
        self._open: Place | None = None
        self._index = -1
        self._seen: set[int] = set()  # tool calls that have begun
        self._finish: FinishReason | None = None
        self._stopped_by: str | None = None
        self._usage: Usage | None = None

    def add(self, chunk: ChatChunk) -> Iterator[bytes]:
        """The events that `chunk` means. Raises HttpError for calls that come in pieces and out of order."""
        if not self._begun:
            self._begun = True
            yield self._start(chunk)
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            if choice.index == 0:
                yield from self._grow(choice)

    def end(self) -> Iterator[bytes]:
        """The events behind a whole answer, but `message_stop`."""
        yield from self._close()
        reason = answers.stop_reason(self._finish, self._stopped_by)
        stopped_by = self._stopped_by if reason == "stop_sequence" else None
        delta: Object = {"stop_reason": reason, "stop_sequence": stopped_by}
        yield event("message_delta", delta=delta, usage=answers.usage_of(self._usage).model_dump())

    def _start(self, chunk: ChatChunk) -> bytes:
        opening = answers.MessageAnswer(
            id=answers.id_of(chunk.id),
            model=chunk.model,
            content=[],
            stop_reason=None,
            usage=answers.MessageUsage(),  # a lane counts at the end
        )
        return event("message_start", message=opening.model_dump(mode="json"))

    def _grow(self, choice: ChunkChoice) -> Iterator[bytes]:
        delta = choice.delta
        yield from self._thought(delta)
        if text := delta.content or delta.refusal:
            yield from self._enter(("text", 0), {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": text})
        for call in delta.tool_calls or ():
            yield from self._call(call)
        self._finish = choice.finish_reason or self._finish
        self._stopped_by = self._asked.stopped_by(choice) or self._stopped_by

    def _thought(self, delta: Delta) -> Iterator[bytes]:
        blocks = delta.thinking_blocks or []
        whole = any(block.thinking for block in blocks)  # an answer in one piece: its text is in the blocks
        if delta.reasoning_content and not (whole and self._asked.signed):
            yield from self._said_to_itself(delta.reasoning_content)
        for block in blocks if self._asked.signed else ():
            yield from self._signed(block)

    def _said_to_itself(self, text: str) -> Iterator[bytes]:
        if not self._asked.thinking:
            yield PING
            return
        yield from self._enter(*_THINKING)
        yield self._delta({"type": "thinking_delta", "thinking": text})

    def _signed(self, block: Thought) -> Iterator[bytes]:
        """A block that ends here: of the next one nothing has come yet."""
        if block.type == "redacted_thinking":
            shown = answers.thought(block).model_dump(mode="json")
            yield from self._enter(("redacted_thinking", self._index + 1), shown)
        else:
            yield from self._enter(*_THINKING)
            if block.thinking:
                yield self._delta({"type": "thinking_delta", "thinking": block.thinking})
            if block.signature:
                yield self._delta({"type": "signature_delta", "signature": block.signature})
        yield from self._close()

    def _call(self, call: ToolCallDelta) -> Iterator[bytes]:
        place = ("tool_use", call.index)
        function = call.function
        if self._open != place:
            if call.index in self._seen:
                raise HttpError("Its tool calls came in pieces and out of order", code="upstream_interrupted")
            self._seen.add(call.index)
            name = function.name if function else None
            id = call.id or f"toolu_{uuid.uuid4().hex[:24]}"
            yield from self._enter(place, {"type": "tool_use", "id": id, "name": name or "", "input": {}})
        if function is not None and function.arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": function.arguments})

    def _enter(self, place: Place, block: Object) -> Iterator[bytes]:
        if self._open == place:
            return
        yield from self._close()
        self._open = place
        self._index += 1
        yield event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> Iterator[bytes]:
        if self._open is not None:
            self._open = None
            yield event("content_block_stop", index=self._index)

    def _delta(self, delta: Object) -> bytes:
        return event("content_block_delta", index=self._index, delta=delta)
