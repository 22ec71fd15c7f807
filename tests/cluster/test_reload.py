"""Reload on a real cluster: two live Routers follow the file, no process restarts, no stream and no request breaks."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from serve.config import load
from tests.cluster.conftest import ROOT, client_of, titles, up, wait_for
from tests.support.upstream import ThreadedUpstream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
STREAMS = 4
CHUNKS = 20


class Rig:
    """One running Pointsman, its configuration file and its upstreams."""

    def __init__(self, path: Path, pid: int, url: str) -> None:
        self.path, self.pid, self.url = path, pid, url
        self.raw: dict[str, Any] = yaml.safe_load(path.read_text())

    def write(self) -> str:
        """The changed file, put in place whole; its policy version."""
        whole = self.path.with_suffix(".tmp")
        whole.write_text(yaml.safe_dump(self.raw))
        whole.replace(self.path)
        return load(self.path).version

    def prefer(self, lane: str) -> str:
        """The default rule prefers `lane`; the policy version without the port that `up` was given."""
        self.raw["policy"]["rules"][-1]["prefer"] = [lane]
        return self.write()

    def route(self) -> dict[str, Any]:
        answer = httpx2.post(
            f"{self.url}/v1/route", json={"model": "auto", "messages": HELLO}, trust_env=False, timeout=30
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx2.get(f"{self.url}/readyz", trust_env=False, timeout=30).json()
        return found

    def in_force(self, lane: str) -> None:
        """Returns once both Routers decide for `lane`."""
        wait_for(lambda: all(self.route()["lane"] == lane for _ in range(12)), 30, f"the rule for {lane}")

    def replicas(self) -> set[int]:
        return {
            pid
            for pid, title in titles(self.pid).items()
            if title.startswith("ray::") and "pointsman" in title
        }


@contextmanager
def steady(rig: Rig) -> Iterator[Callable[[], int]]:
    """Chat requests for as long as the block lasts, from two clients; every one must be answered."""
    stop, faults, done = threading.Event(), list[str](), list[str]()

    def ask() -> None:
        with httpx2.Client(trust_env=False, timeout=60) as http:
            while not stop.is_set():
                try:
                    answer = http.post(
                        f"{rig.url}/v1/chat/completions", json={"model": "auto", "messages": HELLO}
                    )
                    (done if answer.status_code == 200 else faults).append(answer.text[:200])
                except httpx2.HTTPError as error:
                    faults.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: len(done)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert faults == []


@pytest.fixture(scope="module", params=["haproxy", "plain"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    path = tmp_path_factory.mktemp("reload") / "pointsman.yaml"
    raw = yaml.safe_load((ROOT / "configs" / "laptop-ollama.yaml").read_text()) | {"prices": {}}
    raw["server"]["router_replicas"] = 2
    raw["lanes"][2] |= {"name": "slow", "kind": "openai", "model": "slow_chunks_200"}
    for rule in raw["policy"]["rules"]:
        rule["prefer"] = [name for name in rule["prefer"] if name != "cloud-anthropic"]
    path.write_text(yaml.safe_dump(raw))
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        places = {
            "LOCAL_BASE_URL": f"{local.url}/v1",
            "OPENAI_BASE_URL": f"{cloud.url}/v1",
            "OPENAI_API_KEY": "sk-loopback",
            "ANTHROPIC_BASE_URL": f"{cloud.url}/v1",
            "ANTHROPIC_API_KEY": "sk-loopback",
        }
        with up(str(path), places, "--proxy", request.param) as (pid, url):
            yield Rig(path, pid, url)


def test_live_replicas_follow_the_file_and_running_streams_end_whole(rig: Rig) -> None:
    before, started = rig.replicas(), rig.ready()["policy_version"]
    assert len(before) >= 3
    begun = threading.Barrier(STREAMS + 1)

    def stream() -> int:
        with client_of(rig.url) as ask:
            chunks = ask.chat.completions.create(model="slow", messages=HELLO, stream=True)
            first = next(chunks)
            begun.wait(60)
            rest = [first, *chunks]
        assert [c.choices[0].finish_reason for c in rest if c.choices][-1] == "stop"
        return sum(bool(c.choices and c.choices[0].delta.content) for c in rest)

    with ThreadPoolExecutor(STREAMS) as pool, steady(rig) as answered:
        running = [pool.submit(stream) for _ in range(STREAMS)]
        begun.wait(60)
        rig.prefer("cloud-openai")
        rig.in_force("cloud-openai")
        versions = {rig.route()["policy_version"] for _ in range(6)}
        rig.prefer("local-general")
        rig.in_force("local-general")
        whole = [one.result(120) for one in running]
        assert answered() > 0
    assert len(versions) == 1
    assert versions != {started}
    assert len(set(whole)) == 1
    assert rig.replicas() == before


def test_a_lane_that_is_switched_off_gets_nothing_until_it_is_switched_on(rig: Rig) -> None:
    rig.prefer("local-general")
    rig.in_force("local-general")
    local = rig.raw["lanes"][0]
    local["enabled"] = False
    rig.write()
    rig.in_force("cloud-openai")
    shown = rig.ready()["lanes"]["local-general"]
    assert (shown["state"], shown["note"]) == ("off", "switched off by configuration")
    local["enabled"] = True
    rig.write()
    rig.in_force("local-general")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("", id="empty"),
        pytest.param(None, id="missing"),
    ],
)
def test_a_wrong_file_changes_nothing(rig: Rig, wrong: str | None) -> None:
    good, before = rig.path.read_text(), rig.replicas()
    now = rig.route()["policy_version"]
    with steady(rig):
        rig.path.unlink() if wrong is None else rig.path.write_text(wrong)
        time.sleep(2)  # nothing is awaited: it must not happen
        assert {rig.route()["policy_version"] for _ in range(6)} == {now}
        rig.path.write_text(good)
    assert rig.replicas() == before


def test_a_file_written_in_pieces_never_breaks_an_answer(rig: Rig) -> None:
    """C1: truncated, half-written, rewritten at once; what is decided is always one of the two whole files."""
    texts = []
    for lane in ("cloud-openai", "local-general"):
        rig.prefer(lane)
        rig.in_force(lane)
        texts.append((rig.path.read_bytes(), rig.route()["policy_version"]))
    seen = set()
    with steady(rig) as answered:
        for turn in range(20):
            content = texts[turn % 2][0]
            with rig.path.open("wb") as file:
                for at in range(0, len(content), 997):
                    file.write(content[at : at + 997])
                    file.flush()
                    time.sleep(0.02)
            seen.add(rig.route()["policy_version"])
        assert answered() > 0
    assert seen <= {version for _, version in texts}
    rig.in_force("local-general")
