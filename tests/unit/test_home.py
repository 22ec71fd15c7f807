"""A conversation has one order of replicas: its home first, then whoever is next."""

import asyncio
from typing import Any

from ray.serve._private.common import DeploymentHandleSource, DeploymentID, ReplicaID, RequestMetadata
from ray.serve.request_router import PendingRequest

from serve.app import _choice
from serve.config import EngineConfig
from serve.egress import Permit
from serve.keys.rights import ANONYMOUS
from serve.lanes.base import LaneCall
from serve.lanes.home import ByHome, rank
from serve.ledger.terms import Payer
from serve.sessions import name as names
from serve.signals.readings import Sensitivity
from serve.wire.openai_chat import ChatRequest

ENGINE = DeploymentID(name="Engine-small", app_name="pointsman")
REPLICAS = [f"replica-{number}" for number in range(4)]
HOMES = [f"conversation-{number}" for number in range(400)]


class Replica:
    """What Serve's request router sees of a replica that has `queue` requests of at most 2."""

    max_ongoing_requests = 2

    def __init__(self, name: str, queue: int = 0) -> None:
        self.replica_id = ReplicaID(name, ENGINE)
        self.queue = queue

    async def get_queue_len(self, *, deadline_s: float) -> int:
        return self.queue


def order(home: str, replicas: list[str]) -> list[str]:
    return sorted(replicas, key=lambda name: rank(home, name))


def pending(home: str, number: int = 1) -> PendingRequest:
    call = LaneCall("lane", b"{}", False, Permit(Sensitivity.PUBLIC, frozenset()), "dec_1", home)
    return PendingRequest(
        [call], {}, RequestMetadata(request_id=str(number), internal_request_id=str(number))
    )


def chosen(home: str) -> list[list[str]]:
    async def choose() -> list[list[str]]:
        asked = pending(home)
        replicas: list[Any] = [Replica(name) for name in REPLICAS]
        ranks = await router().choose_replicas(replicas, asked)
        assert asked.routing_context.should_backoff, "Serve would ask again without a pause"
        return [[one.replica_id.unique_id for one in some] for some in ranks]

    return asyncio.run(choose())


def router() -> ByHome:
    """Serve's own machinery around our choice; it needs an event loop."""
    return ByHome(ENGINE, DeploymentHandleSource.UNKNOWN, initial_backoff_s=0.01, max_backoff_s=0.01)


def routed(homes: list[str], replicas: list[Replica]) -> list[str]:
    """Where Serve sends these calls, all of them waiting at once."""

    async def route() -> list[str]:
        some: list[Any] = [*replicas]
        serve = router()
        serve.update_replicas(some)
        calls = [serve._choose_replica_for_request(pending(home, n)) for n, home in enumerate(homes)]
        async with asyncio.timeout(60):
            return [one.replica_id.unique_id for one in await asyncio.gather(*calls)]

    return asyncio.run(route())


def test_serve_sends_every_conversation_to_its_home() -> None:
    homes = HOMES[:20]
    assert routed(homes, [Replica(name) for name in REPLICAS]) == [order(home, REPLICAS)[0] for home in homes]


def test_serve_passes_over_a_home_that_is_full() -> None:
    first, second, *_ = order("a", REPLICAS)
    replicas = [Replica(name, queue=2 if name == first else 1) for name in REPLICAS]
    assert routed(["a"] * 3, replicas) == [second] * 3


def test_serve_waits_where_everybody_is_full_and_goes_on_when_one_is_not() -> None:
    async def wait() -> str:
        replicas = [Replica(name, queue=2) for name in REPLICAS]
        some: list[Any] = [*replicas]
        serve = router()
        serve.update_replicas(some)
        task = asyncio.create_task(serve._choose_replica_for_request(pending("a")))
        done, _ = await asyncio.wait({task}, timeout=0.2)
        assert not done
        replicas[2].queue = 0
        async with asyncio.timeout(60):
            name: str = (await task).replica_id.unique_id
            return name

    assert asyncio.run(wait()) == REPLICAS[2]


def test_every_replica_is_in_the_order_each_alone_in_its_rank() -> None:
    assert chosen("a") == [[name] for name in order("a", REPLICAS)]
    assert chosen("a") == chosen("a")


def test_a_call_without_a_home_may_go_to_any_replica() -> None:
    assert chosen("") == [REPLICAS]


def test_homes_are_spread_and_the_second_choices_of_one_home_are_too() -> None:
    firsts = [order(home, REPLICAS)[0] for home in HOMES]
    assert all(60 <= firsts.count(name) <= 140 for name in REPLICAS)
    seconds = [order(home, REPLICAS)[1] for home in HOMES if order(home, REPLICAS)[0] == REPLICAS[0]]
    assert set(seconds) == set(REPLICAS[1:])


def test_when_a_replica_goes_only_its_own_conversations_move() -> None:
    for home in HOMES:
        before = order(home, REPLICAS)
        assert order(home, REPLICAS[:3]) == [name for name in before if name != REPLICAS[3]]


def test_a_conversation_keeps_its_home_while_it_grows() -> None:
    payer = Payer(ANONYMOUS)

    def home(*contents: str, who: Payer = payer) -> str:
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]
        return names.home(who, ChatRequest.model_validate({"model": "auto", "messages": messages}))

    assert home("a") == home("a", "b", "c")
    assert home("a") != home("b")
    assert home("a", who=Payer(ANONYMOUS, "s")) == home("b", who=Payer(ANONYMOUS, "s")) != home("a")


def test_an_engine_chooses_by_conversation_only_where_it_says_so() -> None:
    assert _choice(EngineConfig(model="m")) == {}
    router = _choice(EngineConfig(model="m", replica_choice="conversation"))["request_router_config"]
    assert router.get_request_router_class() is ByHome
