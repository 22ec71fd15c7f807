"""A response as it grows: chunks of a chat answer in, events out, and the whole document at any time.

Knows the order of OpenAI's events. Knows neither HTTP nor where responses are kept.
"""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from serve.errors import HttpError
from serve.surfaces.responses.reference import item_id
from serve.wire.openai_answer import (
    ChatChunk,
    CompletionDetails,
    FinishReason,
    PromptDetails,
    ToolCallDelta,
    Usage,
)

Document = dict[str, JsonValue]
PartKind = Literal["output_text", "refusal", "reasoning_text"]

_UNFINISHED: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(slots=True)
class _Part:
    """A content part that is being written."""

    kind: PartKind
    text: str = ""
    logprobs: list[JsonValue] = field(default_factory=list)

    def shown(self) -> Document:
        """As it stands."""
        if self.kind == "refusal":
            return {"type": self.kind, "refusal": self.text}
        shown: Document = {"type": self.kind, "text": self.text}
        return (
            shown if self.kind == "reasoning_text" else shown | {"annotations": [], "logprobs": self.logprobs}
        )


@dataclass(slots=True)
class _Item:
    """An output item that is being written. `call`: id, name and arguments of a function call."""

    kind: str
    id: str = ""  # it has one from the moment it is opened
    parts: list[_Part] = field(default_factory=list)
    call: list[str] = field(default_factory=list)
    index: int | None = None

    def shown(self, status: str) -> Document:
        """As it stands."""
        head: Document = {"type": self.kind, "id": self.id, "status": status}
        if self.kind == "function_call":
            call_id, name, arguments = self.call
            return head | {"call_id": call_id, "name": name, "arguments": arguments}
        content: list[JsonValue] = [part.shown() for part in self.parts]
        more: Document = {"role": "assistant"} if self.kind == "message" else {"summary": []}
        return head | more | {"content": content}


class Story:
    """One response. `fixed`: the fields of the document that are known before there is an answer."""

    def __init__(self, fixed: Document) -> None:
        self._fixed = fixed
        self._number = 0
        self._output: list[JsonValue] = []
        self._item: _Item | None = None
        self._usage: Usage | None = None
        self._finish: FinishReason | None = None
        self._begun = False

    def add(self, chunk: ChatChunk) -> Iterator[Document]:
        """The events of one chunk; the first chunk begins the response."""
        self._fixed = self._fixed | {"model": chunk.model}
        self._usage = chunk.usage or self._usage
        yield from self._begin()
        for choice in chunk.choices[:1]:
            delta = choice.delta
            if delta.reasoning_content:
                yield from self._write("reasoning", "reasoning_text", delta.reasoning_content, [])
            if delta.content:
                yield from self._write("message", "output_text", delta.content, _logprobs(choice.logprobs))
            if delta.refusal:
                yield from self._write("message", "refusal", delta.refusal, [])
            for call in delta.tool_calls or ():
                yield from self._call(call)
            self._finish = choice.finish_reason or self._finish

    def close(self) -> Iterator[Document]:
        """The events that end the last item."""
        yield from self._begin()
        yield from self._close_item("incomplete" if self._finish in _UNFINISHED else "completed")

    def last(self, document: Document) -> Document:
        """The event that ends the stream with a whole `document`."""
        return self._event(f"response.{document['status']}", response=document)

    def failed(self, error: HttpError) -> Document:
        """The event that ends a stream that broke off."""
        told: Document = {"code": "server_error", "message": error.message}
        output = [*self._output, *([self._item.shown("incomplete")] if self._item else [])]
        document = self.document("failed") | {"error": told, "output": output}
        return self._event("response.failed", response=document)

    def document(self, status: str | None = None) -> Document:
        """The response as it stands; without `status` it has ended."""
        why = _UNFINISHED.get(self._finish) if self._finish else None
        status = status or ("incomplete" if why else "completed")
        return self._fixed | {
            "status": status,
            "incomplete_details": {"reason": why} if why and status == "incomplete" else None,
            "output": list(self._output),
            "usage": _usage(self._usage) if status != "in_progress" else None,
        }

    def _begin(self) -> Iterator[Document]:
        if not self._begun:
            self._begun = True
            yield self._event("response.created", response=self.document("in_progress"))
            yield self._event("response.in_progress", response=self.document("in_progress"))

    def _write(self, kind: str, part: PartKind, text: str, logprobs: list[JsonValue]) -> Iterator[Document]:
        if self._item is None or self._item.kind != kind:
            yield from self._open(_Item(kind))
        item = self._item
        assert item is not None
        if not item.parts or item.parts[-1].kind != part:
            yield from self._close_part(item)
            item.parts.append(_Part(part))
            yield self._event("response.content_part.added", **self._place(item), part=item.parts[-1].shown())
        item.parts[-1].text += text
        item.parts[-1].logprobs += logprobs
        more: Document = {"logprobs": logprobs} if part == "output_text" else {}
        yield self._event(f"response.{part}.delta", **self._place(item), delta=text, **more)

    def _call(self, delta: ToolCallDelta) -> Iterator[Document]:
        item, function = self._item, delta.function
        same = item is not None and item.kind == "function_call" and item.index == delta.index
        if item is None or not same or (delta.id and delta.id != item.call[0]):
            call_id = delta.id or f"call_{uuid.uuid4().hex[:24]}"
            name = (function.name if function else None) or ""
            item = _Item("function_call", call=[call_id, name, ""], index=delta.index)
            yield from self._open(item)
        if text := function.arguments if function else None:
            item.call[2] += text
            place: Document = {"item_id": item.id, "output_index": len(self._output)}
            yield self._event("response.function_call_arguments.delta", **place, delta=text)

    def _open(self, item: _Item) -> Iterator[Document]:
        yield from self._close_item("completed")
        self._item = item
        item.id = item_id(str(self._fixed["id"]), item.kind, len(self._output))
        yield self._event(
            "response.output_item.added", output_index=len(self._output), item=item.shown("in_progress")
        )

    def _close_item(self, status: str) -> Iterator[Document]:
        item = self._item
        if item is None:
            return
        at: Document = {"output_index": len(self._output)}
        if item.kind == "function_call":
            _, name, arguments = item.call
            kind = "response.function_call_arguments.done"
            yield self._event(kind, item_id=item.id, **at, name=name, arguments=arguments)
        yield from self._close_part(item)
        self._item = None
        yield self._event("response.output_item.done", **at, item=item.shown(status))
        self._output.append(item.shown(status))

    def _close_part(self, item: _Item) -> Iterator[Document]:
        if not item.parts:
            return
        part = item.parts[-1]
        told: Document = {"refusal" if part.kind == "refusal" else "text": part.text}
        more: Document = {"logprobs": part.logprobs} if part.kind == "output_text" else {}
        yield self._event(f"response.{part.kind}.done", **self._place(item), **told, **more)
        yield self._event("response.content_part.done", **self._place(item), part=part.shown())

    def _place(self, item: _Item) -> Document:
        return {
            "item_id": item.id,
            "output_index": len(self._output),
            "content_index": max(len(item.parts) - 1, 0),
        }

    def _event(self, kind: str, **fields: JsonValue) -> Document:
        number, self._number = self._number, self._number + 1
        return {"type": kind, "sequence_number": number, **fields}


def told_whole(fixed: Document, chunks: Iterable[ChatChunk]) -> Document:
    """The document of an answer that came in one piece."""
    story = Story(fixed)
    for chunk in chunks:
        for _ in story.add(chunk):
            pass
    for _ in story.close():
        pass
    return story.document()


def _logprobs(found: Document | None) -> list[JsonValue]:
    listed = (found or {}).get("content")
    return listed if isinstance(listed, list) else []


def _usage(usage: Usage | None) -> JsonValue:
    if usage is None:
        return None
    taken = usage.prompt_tokens_details or PromptDetails()
    given = usage.completion_tokens_details or CompletionDetails()
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": taken.cached_tokens or 0,
            "cache_write_tokens": taken.cache_write_tokens or 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": given.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }
