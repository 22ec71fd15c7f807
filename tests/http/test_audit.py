"""The audit log behind the real ingress: what is written when, and what happens when it cannot be written."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve.audit.records import SHEETS
from tests.support.memory import memory_folder
from tests.support.rawclient import OPENAI, connect, encode
from tests.support.serving import config, serving
from tests.support.upstream import ThreadedUpstream

WITHIN_S = 60.0
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SSN = "My social security number is 078-05-1120."
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Audited:
    """A running Pointsman, its upstreams, and the file of its log."""

    url: str
    local: ThreadedUpstream
    cloud: ThreadedUpstream
    file: Path

    def post(self, text: str = "hello", **body: Any) -> httpx2.Response:
        asked = {"model": "auto", "messages": [{"role": "user", "content": text}]} | body
        return httpx2.post(f"{self.url}/v1/chat/completions", json=asked, timeout=60, trust_env=False)

    def health(self) -> Record:
        found: Record = httpx2.get(f"{self.url}/readyz", trust_env=False, timeout=60).json()["audit"]
        return found

    def records(self, kind: str) -> list[Record]:
        return records(self.file, kind)

    def outcomes(self, count: int) -> list[Record]:
        """The first `count` outcomes, in order; they are written soon, not at once."""
        wait_for(lambda: len(self.records("outcome")) >= count)
        return self.records("outcome")[:count]


def records(file: Path, kind: str) -> list[Record]:
    if not file.exists():
        return []
    with closing(sqlite3.connect(file, timeout=30)) as db:
        try:
            query = "SELECT body FROM audit_records WHERE kind = ? ORDER BY chain, seq"
            return [json.loads(body) for (body,) in db.execute(query, (kind,))]
        except sqlite3.OperationalError:  # the table is not there yet
            return []


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@contextmanager
def audited(
    file: Path,
    *,
    sees_intent: list[bool] | None = None,
    models: dict[str, str] | None = None,
    audit: dict[str, Any] | None = None,
    **changes: Any,
) -> Iterator[Audited]:
    """`sees_intent` is told, for all bytes that reach the cloud, whether an intent was in the file by then."""

    def look(window: bytes) -> bool:
        if sees_intent is not None:
            sees_intent.append(bool(records(file, "intent")))
        return False

    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream(look))
        more = {"state": {"url": f"sqlite:///{file}"}, "audit": {"write_timeout_s": 60} | (audit or {})}
        settings = config(local.url, cloud.url, models=models, **more, **changes)
        yield Audited(stack.enter_context(serving(settings)), local, cloud, file)


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def scene(folder: Path) -> Iterator[Audited]:
    with audited(folder / "state.db") as found:
        yield found


@pytest.mark.parametrize("stream", [False, True])
def test_the_intent_is_on_the_disk_before_the_cloud_sees_a_byte(folder: Path, stream: bool) -> None:
    """A1."""
    seen: list[bool] = []
    with audited(folder / "state.db", sees_intent=seen) as s:
        assert s.post(model="cloud-openai", stream=stream).status_code == 200
        (outcome,), (intent,) = s.outcomes(1), s.records("intent")
    assert seen
    assert all(seen)
    assert intent["decision"] == outcome["decision"]
    assert (intent["off_premises"], outcome["cloud_egress"], outcome["status"]) == (True, True, "ok")
    assert outcome["answered"]["lane"] == "cloud-openai"
    assert outcome["answered"]["location"] == "global"
    assert (outcome["tokens_in"], outcome["tokens_out"]) == (12, 3)


def test_this_test_would_notice_a_cloud_that_is_asked_without_an_intent(folder: Path) -> None:
    seen: list[bool] = []
    with audited(folder / "state.db", sees_intent=seen, audit={"enabled": False}) as s:
        assert s.post(model="cloud-openai").status_code == 200
        assert s.health() == {"state": "off", "why": None, "lost": 0, "failures": 0}
    assert seen
    assert not any(seen)


def test_confidential_data_is_recorded_with_the_rule_and_without_the_value(folder: Path) -> None:
    """P14, A6: canaries in every part of a request are in no byte of the database, and no key's id either."""
    file = folder / "state.db"
    canaries = [f"canary{n}zebra" for n in range(4)]
    with audited(file) as s:
        answer = s.post(
            f"{SSN} {canaries[0]}",
            user=canaries[1],
            metadata={"note": canaries[2]},
            tools=[{"type": "function", "function": {"name": "f", "description": canaries[3]}}],
        )
        assert answer.status_code == 200
        s.post(f"{SSN} {canaries[0]}", model="cloud-openai")  # refused before it is a decision
        (outcome,), (intent,) = s.outcomes(1), s.records("intent")
        found = b"".join(path.read_bytes() for path in folder.iterdir())
    assert intent["class"] == "confidential"
    assert intent["rules"]
    assert all(":" in rule for rule in intent["rules"])
    assert (intent["off_premises"], outcome["cloud_egress"]) == (False, False)
    assert not s.cloud.requests
    for secret in (*canaries, "078-05-1120", answer.json()["choices"][0]["message"].get("content") or "zzz"):
        assert secret.encode() not in found
    assert intent["decision"].encode() in found, "or this test looked in the wrong place"


def test_a_request_that_the_policy_refuses_is_recorded_and_a_trial_is_not(scene: Audited) -> None:
    asked = {"model": "cloud-openai", "messages": [{"role": "user", "content": SSN}]}
    trial = httpx2.post(f"{scene.url}/v1/route", json=asked, timeout=60, trust_env=False)
    refused = scene.post(SSN, model="cloud-openai")
    assert (trial.status_code, refused.status_code) == (403, 403)
    wait_for(lambda: bool(scene.records("refused")))
    (record,) = scene.records("refused")
    assert (record["class"], record["status"]) == ("confidential", refused.json()["error"]["code"])
    assert record["rules"]
    assert SSN.split()[-1].encode() not in scene.file.read_bytes()
    assert not scene.records("intent")
    assert not scene.cloud.connections


def test_every_record_is_what_its_schema_says(scene: Audited) -> None:
    scene.post(SSN, model="cloud-openai")
    scene.post()
    scene.post(model="cloud-anthropic", stream=True)
    scene.outcomes(2)
    for kind in ("opened", "intent", "outcome", "refused"):
        assert scene.records(kind)
        for record in scene.records(kind):
            fields = {
                name: record[name] for name in record.keys() - {"chain", "seq", "at", "kind", "decision"}
            }
            SHEETS[kind].model_validate(fields)


def test_a_fallback_is_recorded_with_what_was_tried(folder: Path) -> None:
    with audited(folder / "state.db", models={"local-general": "500"}) as s:
        assert s.post().headers["x-pointsman-lane"] == "cloud-openai"
        (outcome,) = s.outcomes(1)
    assert [(t["lane"], t["location"], t["outcome"]) for t in outcome["tried"]] == [
        ("local-general", "device", "unavailable"),
        ("cloud-openai", "global", "ok"),
    ]
    assert (outcome["fallbacks"], outcome["cloud_egress"]) == (["unavailable"], True)


def test_a_request_that_fails_has_an_outcome_too(folder: Path) -> None:
    with audited(folder / "state.db", models={"local-general": "401"}) as s:
        answer = s.post(model="local-general")
        (outcome,) = s.outcomes(1)
    assert answer.is_error
    assert (outcome["status"], outcome["answered"]) == (answer.json()["error"]["code"], None)
    assert [t["lane"] for t in outcome["tried"]] == ["local-general"]


def test_a_stream_that_breaks_off_has_that_outcome(folder: Path) -> None:
    with audited(folder / "state.db", models={"cloud-openai": "err_in_stream_3"}) as s:
        assert "upstream_interrupted" in s.post(model="cloud-openai", stream=True).text
        (outcome,) = s.outcomes(1)
    assert (outcome["status"], outcome["cloud_egress"]) == ("upstream_interrupted", True)


@pytest.mark.parametrize(
    ("fault", "stream"),
    [("slow_first_600000", True), ("hang", False), ("slow_chunks_100+long_6000", True)],
    ids=["before-the-first-token", "unary", "mid-stream"],
)
def test_a_client_that_leaves_has_an_outcome(folder: Path, fault: str, stream: bool) -> None:
    with audited(folder / "state.db", models={"cloud-openai": "as_told"}) as s:
        body = {
            "model": "cloud-openai",
            "stream": stream,
            "messages": [{"role": "user", "content": f"{fault} hello"}],
        }
        sock = connect(s.url)
        sock.sendall(encode(OPENAI, body, {"content-type": "application/json"}))
        s.cloud.wait_until(lambda: len(s.cloud.requests) == 1, WITHIN_S)
        if "chunks" in fault:
            assert sock.recv(1)
        sock.close()
        (outcome,) = s.outcomes(1)
    assert (outcome["status"], outcome["cloud_egress"]) == ("left", True)
    assert [t["lane"] for t in outcome["tried"]] == ["cloud-openai"]


@contextmanager
def refusing(s: Audited) -> Iterator[None]:
    """A database that takes everything but records, the ledger's entries too: what follows is the log's doing."""
    wait_for(lambda: s.health()["state"] == "ok")
    with closing(sqlite3.connect(s.file, timeout=30, isolation_level=None)) as db:
        db.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON audit_records BEGIN SELECT RAISE(FAIL, 'full'); END"
        )
        s.post(model="local-tools")
        wait_for(lambda: s.health()["state"] == "failing")
        yield
        db.execute("DROP TRIGGER broken")


def test_without_a_log_the_cloud_is_denied_and_local_lanes_answer(scene: Audited) -> None:
    """A3, B6: and the answer and /readyz say why."""
    with refusing(scene):
        for stream in (False, True):
            answer = scene.post(stream=stream)
            assert answer.status_code == 200
            assert answer.headers["x-pointsman-lane"] == "local-general"
            assert answer.headers["x-pointsman-reason"] == "audit_unavailable"
        assert scene.post(model="local-tools").headers["x-pointsman-reason"] == "pinned"
        assert scene.health()["why"]
        assert not scene.cloud.connections


def test_without_a_log_nothing_falls_back_to_the_cloud(folder: Path) -> None:
    down = dict.fromkeys(("local-general", "local-tools"), "500")
    with audited(folder / "state.db", models=down) as s, refusing(s):
        answer = s.post()
        assert answer.status_code == 503
        assert answer.headers["x-pointsman-reason"] == "audit_unavailable"
        assert not s.cloud.connections


def test_without_a_log_what_only_the_cloud_may_answer_is_refused(scene: Audited) -> None:
    with refusing(scene):
        answer = scene.post(model="cloud-openai")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_unavailable")
        assert "audit log" in answer.json()["error"]["message"]
        assert answer.headers["retry-after"]
        assert not scene.cloud.connections


def test_the_cloud_is_back_once_the_log_can_be_written_and_nothing_is_missing(scene: Audited) -> None:
    with refusing(scene):
        scene.post()
    wait_for(lambda: scene.health()["state"] == "ok")
    assert scene.post(model="cloud-openai").headers["x-pointsman-lane"] == "cloud-openai"
    pinned, first, second = scene.outcomes(3)
    ids = [record["decision"] for record in (pinned, first, second)]
    assert [record["decision"] for record in scene.records("intent")] == ids
    assert (first["cloud_egress"], second["cloud_egress"]) == (False, True)
    assert first["reasons"][0] == "audit_unavailable"


def test_without_any_database_local_lanes_answer_and_the_cloud_sees_nothing(folder: Path) -> None:
    """A3, B6: the folder cannot be made, whoever runs this: a file stands in its place. Then it can."""
    (folder / "mine").write_text("in the way")
    with audited(folder / "mine" / "state.db") as s:
        wait_for(lambda: s.health()["state"] == "failing")
        assert s.post().headers["x-pointsman-lane"] == "local-general"
        refused = s.post(model="cloud-openai")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] in ("audit_unavailable", "ledger_unavailable")
        assert not s.cloud.connections
        s.file.parent.unlink()
        wait_for(lambda: s.health()["state"] == "ok" and s.post(model="cloud-openai").status_code == 200)


@contextmanager
def hanging(s: Audited) -> Iterator[None]:
    """A database that takes nothing and refuses nothing."""
    s.post()
    s.outcomes(1)
    with closing(sqlite3.connect(s.file, timeout=30, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            db.execute("ROLLBACK")


@pytest.mark.parametrize("stream", [False, True])
def test_a_lane_on_the_premises_does_not_wait_for_a_log_that_hangs(folder: Path, stream: bool) -> None:
    """Nothing has left, so nothing needs to have been written: the lock is still held when the answer is there."""
    with audited(folder / "state.db", audit={"write_timeout_s": 60}) as s:
        with hanging(s):
            answer = s.post(stream=stream)
        assert answer.status_code == 200
        assert answer.headers["x-pointsman-lane"] == "local-general"
        assert s.outcomes(2)[1]["cloud_egress"] is False


@pytest.mark.parametrize("fault", ["500", "tool_missing_required"])
def test_a_log_that_hangs_keeps_what_goes_on_to_the_cloud_on_the_premises(folder: Path, fault: str) -> None:
    """A lane at home fails or is refused: the next one, outside, waits for the intent in vain and is not asked."""
    down = dict.fromkeys(("local-general", "local-tools"), fault)
    with audited(folder / "state.db", models=down, audit={"write_timeout_s": 0.2}) as s:
        more: Record = {"tools": [TOOL]} if fault != "500" else {}
        with hanging(s):
            asked = len(s.cloud.requests)
            answer = s.post(**more)
            assert len(s.cloud.requests) == asked
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_unavailable")
        assert answer.headers["x-pointsman-reason"] == "audit_unavailable"
        assert "unrecorded" in answer.headers["x-pointsman-trail"]
        *_, outcome = s.outcomes(2)
        assert outcome["cloud_egress"] is False


def test_a_log_that_hangs_holds_nobody_up_for_long_and_keeps_the_cloud_out(folder: Path) -> None:
    with audited(folder / "state.db", audit={"write_timeout_s": 0.2}) as s:
        with hanging(s):
            assert s.post().headers["x-pointsman-lane"] == "local-general"
            asked = len(s.cloud.connections)
            refused = s.post(model="cloud-openai")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "audit_unavailable")
            assert len(s.cloud.connections) == asked == 0
        wait_for(lambda: s.health()["state"] == "ok" and s.post(model="cloud-openai").status_code == 200)
