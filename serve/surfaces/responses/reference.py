"""Ids of an answer's items, and requests that name such an item in place of saying it again.

An item's id has its response's in it: what it names is found without an index of items. Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from serve.errors import InvalidRequest
from serve.surfaces.responses.wire import ITEMS, Item, ItemReference, ResponseRequest

_PREFIX = {"message": "msg", "function_call": "fc", "reasoning": "rs"}
_ID = re.compile(r"(?:msg|fc|rs)_([0-9a-f]{32})_o[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Said:
    """What one kept response said: its items by their ids, and the class of its conversation."""

    items: Mapping[str, Item]
    level: str

    @classmethod
    def of(cls, output: JsonValue, level: str) -> "Said":
        """From the `output` of a kept document."""
        assert isinstance(output, list)
        ids = [str(item["id"]) for item in output if isinstance(item, dict)]
        return cls(dict(zip(ids, ITEMS.validate_python(output), strict=True)), level)


def item_id(response_id: str, kind: str, place: int) -> str:
    """The id of the item at `place` of an answer. The `o` sets it apart from the ids of what was asked."""
    return f"{_PREFIX[kind]}_{response_id.removeprefix('resp_')}_o{place}"


def responses_named(request: ResponseRequest) -> list[str]:
    """Ids of the responses whose items `request` names, each once. Raises InvalidRequest for an id that is none."""
    return [*dict.fromkeys(_response_of(one, place) for place, one in _references(request))]


def resolved(request: ResponseRequest, found: Mapping[str, Said]) -> ResponseRequest:
    """The request with the items themselves; one that is named twice is said once.

    found: by response id. Raises InvalidRequest for an item that is not among them.
    """
    if isinstance(request.input, str):
        return request
    return request.model_copy(update={"input": [*_with_items(request.input, found)]})


def _with_items(items: Sequence[Item], found: Mapping[str, Said]) -> Iterator[Item]:
    named: set[str] = set()
    for place, item in enumerate(items):
        if not isinstance(item, ItemReference):
            yield item
        elif item.id not in named:
            named.add(item.id)
            said = found.get(_response_of(item, place))
            if said is None or item.id not in said.items:
                raise _unknown(place)
            yield said.items[item.id]


def _references(request: ResponseRequest) -> Iterator[tuple[int, ItemReference]]:
    for place, item in enumerate(() if isinstance(request.input, str) else request.input):
        if isinstance(item, ItemReference):
            yield place, item


def _response_of(reference: ItemReference, place: int) -> str:
    if (match := _ID.fullmatch(reference.id)) is None:
        raise _unknown(place)
    return f"resp_{match[1]}"


def _unknown(place: int) -> InvalidRequest:
    """The same words for every cause: they must not say whether somebody else has it."""
    where = f"input[{place}].id"
    return InvalidRequest(
        f"{where}: there is no such item, or its response is not this key's, or it was not kept; with store: false "
        "clients send the item itself",
        param=where,
        code="item_not_found",
    )
