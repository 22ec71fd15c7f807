"""`GET /v1/responses/{id}/input_items`: what a kept response was asked with, as items, page by page.

Pure. The conversation is kept as chat messages; what the answer itself added to it is left out here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, JsonValue

from serve.errors import InvalidRequest
from serve.surfaces.responses import read
from serve.surfaces.responses.store import KeptResponse

Item = dict[str, JsonValue]
MOST = 100
USUAL = 20
ORDERS = ("desc", "asc")


class InputItems(BaseModel):
    """One page. The ids are null where it is empty."""

    object: str = "list"
    data: list[dict[str, JsonValue]]
    first_id: str | None
    last_id: str | None
    has_more: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Which items are wanted: at most `limit`, in this order, behind the one called `after`."""

    limit: int
    order: str
    after: str | None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Page":
        """The page that a query string asks for. Raises InvalidRequest."""
        limit, order = query.get("limit", str(USUAL)), query.get("order", ORDERS[0])
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST):
            raise InvalidRequest(f"limit must be a number from 1 to {MOST}", param="limit")
        if order not in ORDERS:
            raise InvalidRequest("order must be asc or desc", param="order")
        return cls(int(limit), order, query.get("after"))


def listed(kept: KeptResponse, page: Page) -> InputItems:
    """One page of the items. Raises InvalidRequest for an `after` that is none of them."""
    items = [*_items(kept)]
    if page.order == "desc":
        items.reverse()
    if page.after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == page.after]
        if not places:
            raise InvalidRequest("after: this response has no such input item", param="after")
        items = items[places[0] + 1 :]
    data = items[: page.limit]
    ids = [str(item["id"]) for item in data]
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    return InputItems(data=data, first_id=first, last_id=last, has_more=len(items) > len(data))


def _items(kept: KeptResponse) -> Iterator[Item]:
    own = len(read.spoken([], kept.document["output"]))
    number = 0
    for message in kept.messages[: len(kept.messages) - own]:
        for kind, item in _of_message(message):
            named: Item = {"id": f"{kind}_{kept.id.removeprefix('resp_')}_{number}"}
            yield named | item
            number += 1


def _of_message(message: read.Message) -> Iterator[tuple[str, Item]]:
    """The items of one chat message, and what the ids of their kind begin with."""
    if message["role"] == "tool":
        output = message.get("content")
        told = output if isinstance(output, str) else _parts(output, "input_text")
        result: Item = {"type": "function_call_output", "call_id": message["tool_call_id"], "output": told}
        yield "fco", result | {"status": "completed"}
        return
    if message.get("content") is not None:
        word = "output_text" if message["role"] == "assistant" else "input_text"
        said: Item = {"type": "message", "role": message["role"], "status": "completed"}
        yield "msg", said | {"content": _parts(message["content"], word)}
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        assert isinstance(call, dict)
        function = call["function"]
        assert isinstance(function, dict)
        called: Item = {"type": "function_call", "call_id": call["id"], "status": "completed"}
        yield "fc", called | function


def _parts(content: JsonValue, word: str) -> list[JsonValue]:
    parts: list[JsonValue] = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return [_part(part, word) for part in parts if isinstance(part, dict)]


def _part(part: Item, word: str) -> Item:
    if part["type"] == "image_url":
        image = part["image_url"]
        assert isinstance(image, dict)
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail", "auto")}
    if part["type"] == "text":
        return {"type": word, "text": part["text"]} | ({"annotations": []} if word == "output_text" else {})
    return part
