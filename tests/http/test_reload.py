"""Reload under load: one version per request, nothing lost, and the gate is never looser than the router."""

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from serve import hot
from serve.config import Config
from serve.ingress import REFUSED
from tests.support.serving import Reconfigure, client, config, reloadable
from tests.support.upstream import ThreadedUpstream

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
BODY = {"model": "auto", "messages": HELLO}


@dataclass(frozen=True, slots=True)
class Rig:
    """A Pointsman that can be reloaded, its first configuration and its upstreams."""

    url: str
    router: Reconfigure
    proxy: Reconfigure
    config: Config
    local: ThreadedUpstream
    cloud: ThreadedUpstream

    def change(self, **changes: Any) -> Config:
        """The first configuration with other hot sections; not yet in force."""
        return hot.applied(self.config, changes)

    def reload(self, to: Config) -> None:
        """Both deployments follow, as with Serve."""
        self.router(hot.part(to))
        self.proxy(hot.part(to))

    def post(self, path: str = "/v1/chat/completions", **more: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}{path}", json=BODY | more, trust_env=False, timeout=30)

    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx2.get(f"{self.url}/readyz", trust_env=False, timeout=30).json()
        return found


@pytest.fixture
def rig() -> Iterator[Rig]:
    with ExitStack() as stack:
        local = stack.enter_context(ThreadedUpstream())
        cloud = stack.enter_context(ThreadedUpstream())
        settings = config(local.url, cloud.url, models={"local-tools": "slow_chunks_100"})
        box: dict[str, Any] = {}
        url, router, proxy = stack.enter_context(reloadable(settings, box))
        yield Rig(url, router, proxy, box["config"], local, cloud)


def to_cloud() -> dict[str, Any]:
    rule = {"name": "all_away", "prefer": ["cloud-openai"], "because": "the rule of the second version"}
    return {"rules": [rule]}


def test_each_decision_is_that_of_the_version_it_names(rig: Rig) -> None:
    """C2: under a reload every few milliseconds no decision mixes two versions."""
    first, second = rig.config, rig.change(policy=to_cloud())
    wanted = {
        first.version: ("local_first", "local-general"),
        second.version: ("all_away", "cloud-openai"),
    }
    stop = threading.Event()

    def swing() -> None:
        for version in itertools.cycle((second, first)):
            rig.reload(version)
            if stop.wait(0.003):
                return

    def ask(_: int) -> dict[str, Any]:
        answer = rig.post("/v1/route")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    thread = threading.Thread(target=swing)
    thread.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            records = list(pool.map(ask, range(300)))
    finally:
        stop.set()
        thread.join(30)
    assert {record["policy_version"] for record in records} == set(wanted)
    for record in records:
        assert (record["reason"], record["lane"]) == wanted[record["policy_version"]]


def test_wrong_changes_lose_none_of_a_thousand_requests(rig: Rig) -> None:
    """C1: the old version keeps serving, whatever arrives."""
    wrong: list[Any] = [
        [],
        "policy",
        {"policy": None, "polcy": 1},
        {"policy": {"rules": []}},
        {"engines": {}},
        {"lanes": {"cloud-openai": {"base_url": "http://127.0.0.1:1"}}},
        {"lanes": {"gone": {}}},
        {"fixed": {}},
        {"dispatch": {"idle_s": -1}},
        json.loads('{"signals": ' * 50 + "{}" + "}" * 50),
    ]
    stop = threading.Event()

    def spoil() -> None:
        for bad in itertools.cycle(wrong):
            rig.router(bad)
            rig.proxy(bad)
            if stop.wait(0.005):
                return

    thread = threading.Thread(target=spoil)
    thread.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            codes = [answer.status_code for answer in pool.map(lambda _: rig.post(), range(1000))]
    finally:
        stop.set()
        thread.join(30)
    assert codes == [200] * 1000
    shown = rig.ready()
    assert shown["policy_version"] == rig.config.version
    assert shown["reload_refused"] == REFUSED
    rig.reload(rig.config)
    assert rig.ready()["reload_refused"] is None


def test_a_running_stream_keeps_its_version_and_ends_whole(rig: Rig) -> None:
    with client(rig.url) as ask:
        chunks = ask.chat.completions.create(model="local-tools", messages=HELLO, stream=True)
        first = next(chunks)
        # The gaps of this stream are longer than the new version would wait for.
        rig.reload(rig.change(policy=to_cloud(), dispatch={"idle_s": 0.01, "deadline_s": 0.05}))
        rest = [first, *chunks]
    assert [c.choices[0].finish_reason for c in rest if c.choices][-1] == "stop"
    assert sum(bool(c.choices and c.choices[0].delta.content) for c in rest) == 20


def test_a_lane_is_switched_off_and_on_again(rig: Rig) -> None:
    rig.reload(rig.change(lanes={"local-general": {"enabled": False}}))
    assert rig.post().headers["x-pointsman-lane"] == "cloud-openai"
    pinned = rig.post(model="local-general")
    assert pinned.status_code == 503
    assert "switched off by configuration" in pinned.json()["error"]["message"]
    shown = rig.ready()["lanes"]["local-general"]
    assert (shown["state"], shown["note"]) == ("off", "switched off by configuration")
    rig.reload(rig.config)
    assert rig.post().headers["x-pointsman-lane"] == "local-general"


def test_pointsman_is_not_ready_when_every_lane_is_switched_off(rig: Rig) -> None:
    names = [lane.name for lane in rig.config.lanes]
    rig.reload(rig.change(lanes={name: {"enabled": False} for name in names}))
    assert rig.ready()["status"] == "unavailable"
    assert rig.post().status_code == 503


def test_the_proxy_refuses_a_lane_that_the_router_does_not_know_is_off_yet(rig: Rig) -> None:
    rig.proxy(hot.part(rig.change(lanes={"local-general": {"enabled": False}})))
    answer = rig.post()
    assert answer.headers["x-pointsman-lane"] == "cloud-openai"
    assert answer.headers["x-pointsman-trail"].startswith("local-general=off")
    assert not rig.local.received_bytes
    rig.proxy(hot.part(rig.config))
    assert rig.post().headers["x-pointsman-lane"] == "local-general"


INTERNAL = {"x-pointsman-sensitivity": "internal"}


@pytest.mark.parametrize("ahead", ["router", "proxy"])
@pytest.mark.parametrize("direction", ["tightening", "loosening"])
def test_between_two_versions_the_narrower_one_holds(rig: Rig, ahead: str, direction: str) -> None:
    """Router and CloudProxy hear of a change one after the other: in between nothing leaves that one forbids."""
    tight = rig.change(policy=to_cloud())
    places = {
        "public": ["device", "private", "eu", "global"],
        "internal": ["device", "private", "eu", "global"],
        "confidential": ["device", "private"],
    }
    loose = rig.change(policy=to_cloud() | {"locations": places})
    rig.reload(loose if direction == "tightening" else tight)
    to = hot.part(tight if direction == "tightening" else loose)
    (rig.router if ahead == "router" else rig.proxy)(to)
    body = BODY | {"model": "cloud-openai"}
    answer = httpx2.post(
        f"{rig.url}/v1/chat/completions", json=body, headers=INTERNAL, trust_env=False, timeout=30
    )
    assert answer.status_code in (403, 502)
    assert not rig.cloud.received_bytes
    (rig.proxy if ahead == "router" else rig.router)(to)
    answer = httpx2.post(
        f"{rig.url}/v1/chat/completions", json=body, headers=INTERNAL, trust_env=False, timeout=30
    )
    assert answer.status_code == (403 if direction == "tightening" else 200)
    assert bool(rig.cloud.received_bytes) is (direction == "loosening")
