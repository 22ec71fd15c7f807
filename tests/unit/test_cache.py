"""The cache's memory is bounded for each key and in all, and a stream put together is the answer it was."""

import asyncio
import json
from collections.abc import AsyncGenerator

from hypothesis import given
from hypothesis import strategies as st

from serve.cache.config import CacheConfig
from serve.cache.gathered import Gathered
from serve.cache.store import OVERHEAD, CacheStore
from serve.wire.openai_answer import ChatChunk, ChatCompletion, as_chunks


class Clock:
    """Stands still until it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def settings(**more: int) -> CacheConfig:
    return CacheConfig.model_validate(more)


def put(store: CacheStore, key: str, slot: int, size: int, most: CacheConfig) -> None:
    store.put(key, bytes([slot]), b"x" * size, "lane", most)


def kept(store: CacheStore, key: str, most: CacheConfig) -> list[int]:
    return [slot for slot in range(10) if store.find(key, bytes([slot]), most)]


def test_the_least_used_answer_of_a_key_makes_room() -> None:
    store, most = CacheStore(), settings(max_bytes_per_key=3 * (OVERHEAD + 100))
    for slot in range(3):
        put(store, "ann", slot, 100, most)
    assert store.find("ann", bytes([0]), most)
    put(store, "ann", 3, 100, most)
    assert kept(store, "ann", most) == [0, 2, 3]


def test_the_key_that_holds_most_makes_room_for_others() -> None:
    store, most = CacheStore(), settings(max_bytes=4 * (OVERHEAD + 600))
    for slot in range(3):
        put(store, "ann", slot, 600, most)
    for slot in range(3):
        put(store, "bob", slot, 600, most)
    assert kept(store, "ann", most) == [1, 2]
    assert len(kept(store, "bob", most)) == 2
    assert store.size <= 4 * (OVERHEAD + 600)


def test_an_answer_is_over_at_its_time_however_often_it_was_used() -> None:
    clock = Clock()
    store, most = CacheStore(clock), settings(keep_s=10)
    put(store, "ann", 1, 5, most)
    clock.now = 9.9
    assert kept(store, "ann", most) == [1]
    clock.now = 10
    assert kept(store, "ann", most) == []
    assert store.size == 0


def test_what_nobody_asks_for_again_is_forgotten_too() -> None:
    clock = Clock()
    store, most = CacheStore(clock), settings(keep_s=10)
    put(store, "ann", 1, 5, most)
    clock.now = 100
    put(store, "bob", 1, 5, most)
    assert store.size == OVERHEAD + 5


def test_the_same_slot_of_another_key_is_another_place() -> None:
    store, most = CacheStore(), settings()
    put(store, "ann", 1, 5, most)
    assert kept(store, "bob", most) == []
    store.clear()
    assert kept(store, "ann", most) == []


WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
CALLS = st.lists(
    st.builds(
        lambda number, name, city: {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name or "f", "arguments": json.dumps({"city": city})},
        },
        st.integers(0, 9),
        WORDS,
        WORDS,
    ),
    max_size=3,
)


@given(content=WORDS, reasoning=WORDS, calls=CALLS)
def test_a_stream_put_together_is_the_answer_that_was_streamed(
    content: str, reasoning: str, calls: list[dict[str, object]]
) -> None:
    message = {
        "content": content or None,
        "reasoning_content": reasoning or None,
        "tool_calls": calls or None,
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    whole = ChatCompletion.model_validate({"id": "a", "created": 1, "model": "m", "choices": [choice]})
    assert asyncio.run(gathered(whole, 10_000)) == [whole]


def test_an_answer_that_is_too_long_is_let_go() -> None:
    message = {"content": "x" * 101}
    whole = ChatCompletion.model_validate(
        {"id": "a", "created": 1, "model": "m", "choices": [{"message": message}]}
    )
    assert asyncio.run(gathered(whole, 100)) == []
    assert asyncio.run(gathered(whole, 101)) == [whole]


async def gathered(whole: ChatCompletion, most: int) -> list[ChatCompletion]:
    async def chunks() -> AsyncGenerator[ChatChunk, None]:
        for item in as_chunks(whole, include_usage=False):
            yield item

    found: list[ChatCompletion] = []
    stream = Gathered(chunks(), most, found.append)
    assert [item async for item in stream]
    await stream.aclose()
    return found
