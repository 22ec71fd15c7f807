"""Row S4: however the bytes of a stream are sliced and spelt, its events are the same."""

import os
import random
import tracemalloc
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.wire.sse import MOST_BYTES, Decoder, Event, EventTooLong

# `POINTSMAN_NIGHTLY=1` asks for the long run.
CASES = 5000 if os.environ.get("POINTSMAN_NIGHTLY") else 300

texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
made = st.lists(
    st.builds(Event, st.sampled_from(["", "ping", "message_delta"]), st.lists(texts, min_size=1).map("\n".join)),
    max_size=6,
)  # fmt: skip


@st.composite
def spellings(draw: st.DrawFn) -> tuple[list[Event], list[bytes]]:
    """Some events, and one of the many ways to send them, in one of the many ways to slice it."""
    events = draw(made)
    text = "\ufeff" * draw(st.booleans())
    for event in events:
        text += draw(_one(event))
    text += draw(st.sampled_from(["", "data: cut off", "event: x\ndata: no blank line\n", ":"]))
    raw = text.encode()
    cuts = sorted(draw(st.sets(st.integers(0, len(raw)), max_size=40)))
    return events, [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


@st.composite
def _one(draw: st.DrawFn, event: Event) -> str:
    fields = [f"data:{draw(_gap(line))}{line}" for line in event.data.split("\n")]
    if event.name:
        fields.insert(draw(st.integers(0, len(fields))), f"event:{draw(_gap(event.name))}{event.name}")
    noise = st.sampled_from([": a comment", ":", "id: 7", "id", "retry: 10", "unknown: field"])
    for _ in range(draw(st.integers(0, 3))):
        fields.insert(draw(st.integers(0, len(fields))), draw(noise))
    end = draw(st.sampled_from(["\n", "\r", "\r\n"]))
    return "".join(line + end for line in [*fields, ""])


def _gap(value: str) -> st.SearchStrategy[str]:
    """One space may be left out, unless the value itself begins with one."""
    return st.just(" ") if value.startswith(" ") else st.sampled_from(["", " "])


def decoded(parts: list[bytes]) -> list[Event]:
    decoder = Decoder()
    return [event for part in parts for event in decoder.feed(part)]


@settings(max_examples=CASES, deadline=None)
@given(spellings())
def test_every_slicing_and_spelling_gives_the_same_events(case: tuple[list[Event], list[bytes]]) -> None:
    events, parts = case
    assert decoded(parts) == events
    assert decoded([b"".join(parts)]) == events
    assert decoded([bytes([byte]) for part in parts for byte in part]) == events


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        pytest.param(b"data\n\n", [Event("", "")], id="no-colon"),
        pytest.param(b"data:  two\n\n", [Event("", " two")], id="only-one-space-goes"),
        pytest.param(b"event: x\n\ndata: a\n\n", [Event("", "a")], id="a-name-without-data-is-forgotten"),
        pytest.param(b"data: a\n", [], id="no-end"),
        pytest.param(b"\r\n\r\n\n\r", [], id="blank-lines"),
        pytest.param(b"DATA: a\n\n", [], id="case-matters"),
        pytest.param(b"data: a\r\rdata: b\r\n\r\n", [Event("", "a"), Event("", "b")], id="mixed-ends"),
    ],
)
def test_the_corners_of_the_standard(raw: bytes, events: list[Event]) -> None:
    assert decoded([raw]) == events


def test_bytes_that_are_not_utf_8_are_an_error() -> None:
    with pytest.raises(UnicodeDecodeError):
        decoded([b"data: \xff\xfe\n\n"])


def endless(line_end: bytes) -> Any:
    """Ten megabytes of one event, in pieces like those of a socket."""
    rng = random.Random(7)
    for _ in range(10 << 4):
        yield (b"data: " + rng.randbytes(1).hex().encode() * (32 << 10))[: 64 << 10] + line_end


@pytest.mark.parametrize("line_end", [b"", b"\n"], ids=["one-line", "many-lines"])
def test_an_event_of_ten_megabytes_is_refused_before_it_is_kept(line_end: bytes) -> None:
    """S5: the memory of one stream stays bounded."""
    decoder = Decoder()
    tracemalloc.start()
    with pytest.raises(EventTooLong):
        deque(map(decoder.feed, endless(line_end)), maxlen=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MOST_BYTES
