"""Responses without HTTP: translation both ways, and the table of those that are kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve import state
from serve.bounds import Bounds
from serve.errors import HttpError
from serve.surfaces.completions import Completions
from serve.surfaces.responses.config import ResponsesConfig
from serve.surfaces.responses.store import KeptResponse, ResponseStore
from serve.surfaces.responses.story import Story, told_whole
from serve.surfaces.responses.surface import Responses
from serve.wire.openai_answer import ChatChunk, ChatCompletion, as_chunks
from serve.wire.openai_chat import parse
from tests.support.nightly import cases

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(max_size=12)
ITEMS = [
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "item_reference",
    "web_search",
    "function",
    "",
]
PARTS = ["input_text", "output_text", "refusal", "input_image", "json_schema", "text", "allowed_tools"]
KIND = st.sampled_from(ITEMS + PARTS)
ROLE = st.sampled_from(["user", "assistant", "system", "developer", "tool"])
PART = st.fixed_dictionaries(
    {"type": KIND}, optional={"text": TEXT | JSON, "refusal": TEXT, "image_url": JSON}
)
CONTENT = TEXT | st.lists(PART, max_size=3) | JSON
ITEM = JSON | st.fixed_dictionaries(
    {},
    optional={
        "type": KIND,
        "role": ROLE,
        "content": CONTENT,
        "call_id": st.sampled_from(["a", "b", ""]),
        "name": TEXT,
        "arguments": TEXT | JSON,
        "output": CONTENT,
    },
)
TOOL = JSON | st.fixed_dictionaries({"type": KIND, "name": st.just("f")}, optional={"parameters": JSON})
BODY = st.fixed_dictionaries(
    {"model": st.just("auto") | JSON, "input": TEXT | st.lists(ITEM, max_size=5) | JSON},
    optional={
        "instructions": TEXT | JSON,
        "tools": st.lists(TOOL, max_size=2) | JSON,
        "tool_choice": st.sampled_from(["auto", "required", {"type": "function", "name": "f"}]) | JSON,
        "text": JSON | st.fixed_dictionaries({"format": PART}),
        "metadata": JSON,
        "include": JSON,
        "stream": st.booleans(),
        "top_logprobs": st.integers(-1, 21),
        "max_output_tokens": st.integers(),
    },
)


@settings(max_examples=cases(300, 20_000), deadline=None)
@given(body=BODY | JSON)
def test_any_body_is_a_chat_request_or_the_clients_fault(body: Any) -> None:
    """What comes out is what the Router reads: nothing that was sent can be a fault of ours."""
    for surface in (Responses(), Completions()):
        fault = fault_of(surface, json.dumps(body).encode())
        assert fault is None or (400 <= fault.status < 500 and surface.error(fault))


def fault_of(surface: Responses | Completions, body: bytes) -> HttpError | None:
    try:
        parse(surface.read(body, Bounds()).body, Bounds())
    except HttpError as error:
        return error
    return None


DELTA = st.fixed_dictionaries(
    {},
    optional={
        "content": TEXT,
        "refusal": TEXT,
        "reasoning_content": TEXT,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"index": st.integers(0, 2)},
                optional={
                    "id": st.sampled_from(["a", "b"]),
                    "function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT}),
                },
            ),
            max_size=2,
        ),
    },
)


@settings(max_examples=cases(200, 5000), deadline=None)
@given(deltas=st.lists(DELTA, max_size=6), finish=st.sampled_from(["stop", "length", "tool_calls"]))
def test_any_stream_opens_and_closes_what_it_speaks_of(deltas: list[dict[str, Any]], finish: str) -> None:
    """Numbers without gaps; each item and part opened once, closed once, in order; the end holds every item."""
    story = Story({"id": "resp_1"})
    ends: list[Any] = [*({"delta": delta} for delta in deltas), {"delta": {}, "finish_reason": finish}]
    events: list[dict[str, Any]] = []
    for choice in ends:
        chunk = ChatChunk.model_validate({"id": "1", "created": 1, "model": "m", "choices": [choice]})
        events += story.add(chunk)
    events += story.close()
    document = story.document()
    events.append(story.last(document))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    for name in ("output_item", "content_part"):
        told = [kind for kind in kinds if f".{name}." in kind]
        assert told == [f"response.{name}.added", f"response.{name}.done"] * (len(told) // 2)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert document["output"] == done
    assert events[-1]["type"] == ("response.incomplete" if finish == "length" else "response.completed")


def test_reasoning_text_and_calls_are_items_of_their_own() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"reasoning_content": "hm", "content": "so", "tool_calls": [call]}
    answer = ChatCompletion.model_validate(
        {
            "id": "1",
            "created": 1,
            "model": "m",
            "choices": [{"message": message, "finish_reason": "tool_calls"}],
        }
    )
    output: Any = told_whole({"id": "resp_1"}, as_chunks(answer, include_usage=True))["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call"]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]


def chat_of(items: list[Any]) -> list[Any]:
    body = json.dumps({"model": "auto", "input": items}).encode()
    messages: list[Any] = json.loads(Responses().read(body, Bounds()).body)["messages"]
    return messages


def test_parallel_calls_are_one_message_and_words_between_them_are_kept() -> None:
    calls = [{"type": "function_call", "call_id": f"c{i}", "name": "f", "arguments": "{}"} for i in range(2)]
    words = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "wait"}]}
    results = [{"type": "function_call_output", "call_id": f"c{i}", "output": "x"} for i in range(2)]
    found = chat_of([{"role": "user", "content": "hi"}, words, calls[0], words, calls[1], *results])
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in found[1]["tool_calls"]] == ["c0", "c1"]
    assert [part["text"] for part in found[1]["content"]] == ["wait", "wait"]


# --- kept ------------------------------------------------------------------------------------------------------


PNG = "data:image/png;base64,iVBORw0KGgo="


def test_images_in_results_follow_behind_the_last_of_them() -> None:
    """A chat wants results together and text alone in them; what comes next comes behind the images."""
    calls = [{"type": "function_call", "call_id": f"c{i}", "name": "f", "arguments": "{}"} for i in range(3)]
    seen = {"type": "input_image", "image_url": PNG, "detail": "original"}
    outputs: list[Any] = [[{"type": "input_text", "text": "a picture"}, seen], [seen], "words"]
    results = [
        {"type": "function_call_output", "call_id": f"c{i}", "output": output}
        for i, output in enumerate(outputs)
    ]
    chat = chat_of(
        [{"role": "user", "content": "look"}, *calls, *results, {"role": "user", "content": "and?"}]
    )
    assert [message["role"] for message in chat] == ["user", "assistant", *["tool"] * 3, "user", "user"]
    assert chat[2]["content"] == [{"type": "text", "text": "a picture"}]
    assert [chat[3]["content"], chat[4]["content"]] == ["", "words"]
    picture = {"type": "image_url", "image_url": {"url": PNG, "detail": "original"}}
    assert chat[5]["content"] == [
        {"type": "text", "text": "From the result of c0:"},
        picture,
        {"type": "text", "text": "From the result of c1:"},
        picture,
    ]
    assert chat[6]["content"] == "and?"
    again = chat_of([*calls[:1], *results[:1], *calls[1:2], *results[1:2]])
    assert [message["role"] for message in again] == [
        "assistant",
        "tool",
        "user",
        "assistant",
        "tool",
        "user",
    ]


def test_a_lane_is_sent_high_for_original() -> None:
    part = {"type": "image_url", "image_url": {"url": PNG, "detail": "original"}}
    body = {"model": "auto", "messages": [{"role": "user", "content": [part]}]}
    sent: Any = parse(json.dumps(body).encode()).sent()
    assert sent["messages"][0]["content"][0]["image_url"] == {"url": PNG, "detail": "high"}


def store(folder: Path, **limits: int) -> ResponseStore:
    config = ResponsesConfig.model_validate(limits)
    return ResponseStore(state.open_database(f"sqlite:///{folder}/state.db"), config)


def response(number: int, key: str = "k", text: str = "") -> KeptResponse:
    return KeptResponse(f"resp_{number}", key, "public", number, [{"content": text}], {"id": str(number)})


def found(kept: ResponseStore, key: str = "k", now: int = 100) -> list[int]:
    return [number for number in range(20) if kept.find(f"resp_{number}", key, now)]


def test_outputs_are_found_by_many_ids_and_by_their_own_key_only(tmp_path: Path) -> None:
    kept = store(tmp_path, keep_s=10)
    for number, key in enumerate(["k", "other", "k"]):
        assert kept.add(
            KeptResponse(f"resp_{number}", key, "internal", number, [], {"output": [number]}), 100
        )
    ids = [f"resp_{number}" for number in range(2, 1200)] + ["resp_1", "resp_0"]
    assert sorted(kept.outputs(ids, "k", 105)) == [("resp_0", "internal", [0]), ("resp_2", "internal", [2])]
    assert kept.weight(ids, "k", 105) == 2 * len('{"output": [0]}')
    assert (kept.weight(ids, "k", 110), [*kept.outputs(ids, "k", 110)]) == (0, [])
    kept.close()


def test_the_oldest_of_a_key_make_room(tmp_path: Path) -> None:
    kept = store(tmp_path, max_kept_per_key=3)
    kept.add(response(0, "other"), 100)
    for number in range(1, 6):
        assert kept.add(response(number), 100)
    assert found(kept) == [3, 4, 5]
    assert found(kept, "other") == [0]
    kept.close()


def test_the_oldest_of_all_make_room_too(tmp_path: Path) -> None:
    kept = store(tmp_path, max_kept=3)
    for number in range(5):
        assert kept.add(response(number, f"key{number}"), 100)
    assert [bool(kept.find(f"resp_{n}", f"key{n}", 100)) for n in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    kept.close()


@pytest.mark.parametrize("limit", ["max_bytes", "max_bytes_per_key"])
def test_bytes_are_bounded_as_well(tmp_path: Path, limit: str) -> None:
    kept = store(tmp_path, **{limit: 2048})
    for number in range(4):
        assert kept.add(response(number, text="x" * 900), 100)
    assert found(kept) == [2, 3]
    assert not kept.add(response(4, text="x" * 3000), 100)
    assert found(kept) == [2, 3]
    kept.close()


@pytest.mark.parametrize("limits", [{"max_kept_per_key": 1}, {"max_kept": 1}, {"max_bytes": 2048}], ids=str)
def test_what_made_room_is_in_no_file_when_the_next_one_is_kept(
    tmp_path: Path, limits: dict[str, int]
) -> None:
    kept = store(tmp_path, **limits)
    for number, word in enumerate(("a word to forget", "a word to keep")):
        assert kept.add(response(number, text=word + "x" * 1200), 100)
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert (b"a word to forget" in left, b"a word to keep" in left) == (False, True)
    kept.close()


def test_what_is_over_is_gone_and_leaves_no_bytes(tmp_path: Path) -> None:
    kept = store(tmp_path, keep_s=10)
    kept.add(response(1, text="a word to forget"), 100)
    kept.add(response(2, text="a word to remove"), 105)
    assert found(kept, now=109) == [1, 2]
    assert found(kept, now=110) == [2]
    kept.sweep(110)
    assert not kept.remove("resp_2", "other", 110)
    assert kept.remove("resp_2", "k", 110)
    kept.close()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"a word to" not in left
