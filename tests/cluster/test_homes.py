"""Replicas chosen by conversation: a whole Pointsman on three stub engines, real Ray Serve, the official client.

The order of the file matters: the last test kills a replica.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import openai
import pytest

from tests.support.stub_child import StubGraph, stub_graph

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

REPLICAS, SLOTS, ENOUGH = 3, 2, 2
MANY = 200  # conversations after which each replica is the home of some, or something is wrong
LASTING = 4000  # words of a stream that is there to stay

CONFIG: dict[str, Any] = {
    "keys": {"mode": "open"},
    "engines": {
        "small": {
            "model": "stub",
            "num_cpus": 0.1,
            "replica_choice": "conversation",
            "max_ongoing_requests": SLOTS,
            "max_queued_requests": 8,
            "autoscaling": {
                "min_replicas": REPLICAS,
                "max_replicas": REPLICAS,
                "target_ongoing_requests": 1,
            },
            "vllm": {"word_s": 0.05},
        }
    },
    "lanes": [{"name": "local", "kind": "engine", "engine": "small", "context": 100_000}],
    "policy": {"rules": [{"name": "all", "prefer": ["local"], "because": "there is one lane"}]},
    "dispatch": {"last_wait_s": 120, "queue_wait_s": 60, "queue_wait_unary_s": 60},
}
# A replica that does not tell its queue in time is passed over: on a busy machine that is no promise to test.
PATIENT = {
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "60",
    "RAY_SERVE_MAX_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "60",
}


@dataclass(slots=True)
class Conversation:
    """Grows by a question and an answer with every turn."""

    ask: openai.OpenAI
    opening: str
    messages: list[Any] = field(default_factory=list)

    def turn(self) -> int:
        """The process that answered."""
        self.messages.append({"role": "user", "content": self._question()})
        answer = self.ask.chat.completions.create(model="auto", messages=self.messages, max_tokens=1)
        said = str(answer.choices[0].message.content)
        self.messages.append({"role": "assistant", "content": said})
        return int(said.split()[0])

    def stream(self) -> tuple[int, Any]:
        """The process that answers now, and for minutes, unless the stream is closed."""
        messages: list[Any] = [*self.messages, {"role": "user", "content": self._question()}]
        stream = self.ask.chat.completions.create(
            model="auto", messages=messages, max_tokens=LASTING, stream=True
        )
        said = next(c.choices[0].delta.content for c in stream if c.choices and c.choices[0].delta.content)
        return int(said.split()[0]), stream

    def _question(self) -> str:
        return f"turn {len(self.messages)}" if self.messages else self.opening


@dataclass(slots=True)
class Scene:
    """The running graph. `homes`: conversations that were begun, by the process that answers them."""

    graph: StubGraph
    ask: openai.OpenAI
    homes: dict[int, list[Conversation]]
    numbers: Iterator[int] = field(default_factory=count)

    def begin(self) -> tuple[int, Conversation]:
        """A new conversation, and who answered its first turn."""
        one = Conversation(self.ask, f"conversation {next(self.numbers)}")
        return one.turn(), one

    def everybody(self) -> list[tuple[int, Conversation]]:
        """Every conversation with its home."""
        return [(home, one) for home, some in self.homes.items() for one in some]


@pytest.fixture(scope="module")
def s() -> Iterator[Scene]:
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in PATIENT.items():
            patch.setenv(name, value)
        graph = stack.enter_context(stub_graph(CONFIG))
        address = f"{graph.url}/v1"
        ask = stack.enter_context(openai.OpenAI(base_url=address, api_key="any", max_retries=0, timeout=180))
        scene = Scene(graph, ask, {})
        graph.wait_until(lambda: graph.replicas("small") == REPLICAS, 180, "the replicas")
        known: set[int] = set()
        for _ in range(MANY):  # until the Router's handle has heard of all of them
            if len(known) == REPLICAS:
                break
            known.add(scene.begin()[0])
        assert len(known) == REPLICAS
        scene.homes = {home: [] for home in known}
        for _ in range(MANY):
            if all(len(some) >= ENOUGH for some in scene.homes.values()):
                break
            home, one = scene.begin()
            scene.homes[home].append(one)
        yield scene


def test_every_replica_is_a_home_and_every_conversation_stays_at_its_own(s: Scene) -> None:
    assert all(len(some) >= ENOUGH for some in s.homes.values())
    for _ in range(3):
        for home, one in s.everybody():
            assert one.turn() == home


def test_a_full_home_is_passed_over_and_found_again_when_it_has_room(s: Scene) -> None:
    home, (one, other, *_) = next(iter(s.homes.items()))
    with ExitStack() as busy:
        for _ in range(SLOTS):
            where, stream = one.stream()
            busy.enter_context(stream)
            assert where == home
        elsewhere = {one.turn() for _ in range(3)}
        assert len(elsewhere) == 1, "its second choice is always the same"
        assert home not in elsewhere
        assert other.turn() != home
        for at, neighbours in s.homes.items():
            assert at == home or neighbours[0].turn() == at, "a conversation of another home does not move"
    s.graph.wait_until(
        lambda: {who.turn() for who in (one, other) * 2} == {home}, 120, "both to be back at their home"
    )


def test_conversations_of_a_dead_replica_find_another_and_the_others_stay(s: Scene) -> None:
    dead = next(iter(s.homes))
    os.kill(dead, signal.SIGKILL)
    for home, one in s.everybody():
        where = one.turn()
        assert where != dead
        assert where == home or home == dead or where not in s.homes

    def born() -> bool:
        return s.begin()[0] not in s.homes

    s.graph.wait_until(born, 180, "another replica in place of the dead one")
    for home, one in s.everybody():
        first = one.turn()
        assert {one.turn() for _ in range(2)} == {first}, "it has a home again"
        assert first == home or home == dead or first not in s.homes, "only the new replica takes from others"
