"""What a kept response was asked with, as items."""

from typing import Any

from serve.surfaces.responses.items import Page, listed
from serve.surfaces.responses.store import KeptResponse

IMAGE: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}}
SOUND: Any = {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}
ANSWER: Any = {"role": "assistant", "content": "Fine."}
OUTPUT: Any = [
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Fine."}]}
]


def kept(*messages: dict[str, Any]) -> KeptResponse:
    return KeptResponse("resp_1", "me", "public", 0, [*messages, ANSWER], {"output": OUTPUT})


def test_pictures_sounds_and_words_beside_a_call_keep_their_place() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    found = listed(
        kept(
            {"role": "user", "content": [{"type": "text", "text": "Look"}, IMAGE, SOUND]},
            {"role": "assistant", "content": "I look.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a cat"}]},
        ),
        Page(100, "asc", None),
    )
    assert [item["type"] for item in found.data] == [
        "message",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert found.data[0]["content"] == [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "low"},
        SOUND,
    ]
    assert found.data[1]["content"] == [{"type": "output_text", "text": "I look.", "annotations": []}]
    assert found.data[3]["output"] == [{"type": "input_text", "text": "a cat"}]
    assert not found.has_more


def test_pages_meet_without_a_gap() -> None:
    response = kept(*({"role": "user", "content": str(n)} for n in range(5)))
    texts: list[Any] = []
    after, more = None, True
    while more:
        page = listed(response, Page(2, "desc", after))
        texts += [item["content"] for item in page.data]
        after, more = page.last_id, page.has_more
    assert [content[0]["text"] for content in texts] == ["4", "3", "2", "1", "0"]
    assert listed(response, Page(2, "desc", after)).first_id is None
