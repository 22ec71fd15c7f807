"""What becomes of decisions, over real HTTP: one row for each, feedback counted once, and answers that never wait."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve.keys import credential
from serve.keys.entry import Grant, KeyEntry
from serve.keys.store import KeyStore
from tests.http.conftest import Scene
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

Start = Callable[..., Scene]
PRICES = {"version": "test", "lanes": {"cloud-openai": {"input": 1.0, "output": 2.0}}}


def until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if true():
            return
        pause.wait(0.05)
    pytest.fail("waited 60 s in vain")


def rows(folder: Path) -> list[dict[str, Any]]:
    """Every row, oldest first."""
    if not (folder / "state.db").is_file():
        return []
    connection = sqlite3.connect(f"file:{folder}/state.db?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        found = connection.execute("SELECT * FROM decisions ORDER BY at").fetchall()
        return [dict(row) for row in found]
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def ask(
    scene: Scene, text: str = "hello", more: Mapping[str, Any] = {}, headers: Mapping[str, str] = {}
) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]} | dict(more)
    return httpx2.post(f"{scene.url}/v1/chat/completions", json=body, headers=dict(headers), timeout=60)


@pytest.fixture
def start(scene: Start, tmp_path: Path) -> Start:
    def started(**more: Any) -> Scene:
        state = {"url": f"sqlite:///{tmp_path}/state.db"}
        return scene(**{"state": state, "prices": PRICES} | more)

    return started


def test_every_decision_is_one_row_without_a_word_of_it(start: Start, tmp_path: Path) -> None:
    s = start()
    first = ask(s, "What is a pangolin?", headers={"x-pointsman-session": "pangolins"})
    second = ask(s, "What is an okapi?", headers={"x-pointsman-prefer": "cloud"})
    until(lambda: len(rows(tmp_path)) == 2)
    local, cloud = rows(tmp_path)
    assert [local["decision_id"], cloud["decision_id"]] == [
        answer.headers["x-pointsman-decision-id"] for answer in (first, second)
    ]
    assert (local["lane"], local["location"], local["tier"]) == ("local-general", "device", 1)
    assert (cloud["lane"], cloud["location"], cloud["tier"]) == ("cloud-openai", "global", 2)
    assert (local["cost"], local["error"], local["verdict"], local["attempts"]) == (0, None, "valid", 1)
    assert cloud["cost"] == cloud["billed"] == round(float(second.headers["x-pointsman-cost-usd"]) * 1e6) > 0
    assert local["baseline"] > 0
    kept = (tmp_path / "state.db").read_bytes() + (tmp_path / "state.db-wal").read_bytes()
    assert not any(word in kept for word in (b"pangolin", b"okapi"))


def say(scene: Scene, decision_id: str, **more: Any) -> httpx2.Response:
    return httpx2.post(f"{scene.url}/v1/feedback", json={"decision_id": decision_id} | more, timeout=60)


def stats(scene: Scene, **params: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{scene.url}/v1/stats", params=params, timeout=60).json()
    return found


def test_feedback_counts_once_and_the_last_word_counts(start: Start, tmp_path: Path) -> None:
    s = start(outcomes={"correction_usd_per_hour": 60})
    decision = ask(s).headers["x-pointsman-decision-id"]
    first = say(s, decision, outcome="success", quality=0.9, label="good_fit", source="sdk")
    assert first.status_code == 200, first.text
    assert first.json() == {
        "object": "feedback",
        "decision_id": decision,
        "success": True,
        "replaced": False,
    }
    second = say(s, decision, label="underpowered", correction_minutes=2).json()
    assert (second["success"], second["replaced"]) == (False, True)
    total = stats(s)["total"]
    assert (total["decisions"], total["successes"], total["failures"], total["judged"]) == (1, 0, 1, 1)
    assert (total["complaints"], total["correction_usd"]) == (1, 2.0)
    assert total["cpst"]["usd"] is None


@pytest.mark.parametrize(
    ("more", "param"),
    [
        pytest.param({"outcome": "great"}, "outcome", id="outcome"),
        pytest.param({"quality": 1.5}, "quality", id="quality"),
        pytest.param({"quality": True}, "quality", id="no-number"),
        pytest.param({"label": "meh"}, "label", id="label"),
        pytest.param({"outcome": "success", "source": "It was\nbad"}, "source", id="source"),
        pytest.param({"outcome": "success", "correction_minutes": -1}, "correction_minutes", id="minutes"),
        pytest.param({"outcome": "success", "decision_id": 7}, "decision_id", id="id"),
        pytest.param({"outcome": "success", "label": "failed"}, None, id="contradiction"),
        pytest.param({"outcome": "success", "note": "secret words"}, None, id="unknown-field"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_feedback_that_means_nothing_is_refused_by_the_name_of_its_field(
    edge: Scene, more: dict[str, Any], param: str | None
) -> None:
    answer = httpx2.post(f"{edge.url}/v1/feedback", json={"decision_id": f"dec_{0:032x}"} | more, timeout=60)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param), error
    assert "secret words" not in answer.text


@pytest.mark.parametrize("decision", [f"dec_{0:032x}", "dec_1", "\u0000"])
def test_feedback_on_a_decision_nobody_made_is_404(edge: Scene, decision: str) -> None:
    answer = say(edge, decision, outcome="success")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "decision_not_found")


@pytest.mark.parametrize("since", ["", "7", "7y", "-1d", "0d"])
def test_a_span_that_means_nothing_is_refused(edge: Scene, since: str) -> None:
    answer = httpx2.get(f"{edge.url}/v1/stats", params={"since": since}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "since")


@pytest.fixture(scope="module")
def edge() -> Iterator[Scene]:
    """One router for what reaches no lane."""
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        url = stack.enter_context(serving(config(local.url, cloud.url)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


def test_a_key_speaks_of_its_own_decisions_and_a_reviewer_of_all(start: Start, tmp_path: Path) -> None:
    store = KeyStore(f"sqlite:///{tmp_path}/keys.db")

    def make(name: str, **grant: Any) -> str:
        public, key, sha256 = credential.mint()
        store.add(KeyEntry(id=public, name=name, sha256=sha256, grant=Grant.model_validate(grant)))
        return key

    ann, bob, eve = make("ann"), make("bob"), make("eve", scopes=["reviewer"])
    s = start(keys={"mode": "required", "url": f"sqlite:///{tmp_path}/keys.db"})
    decision = ask(s, headers={"authorization": f"Bearer {ann}"}).headers["x-pointsman-decision-id"]

    def says(key: str, outcome: str) -> tuple[int, str | None]:
        answer = httpx2.post(
            f"{s.url}/v1/feedback",
            json={"decision_id": decision, "outcome": outcome},
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
        )
        return answer.status_code, answer.json().get("error", {}).get("code")

    assert says(bob, "failure") == (404, "decision_not_found")
    assert says(ann, "success") == (200, None)
    assert says(eve, "failure") == (200, None)
    assert says(ann, "success") == (409, "feedback_settled")
    assert says(eve, "success") == (200, None)
    seen = {
        key: httpx2.get(f"{s.url}/v1/stats", headers={"authorization": f"Bearer {key}"}, timeout=60)
        for key in (ann, eve)
    }
    assert (seen[ann].status_code, seen[ann].json()["error"]["code"]) == (403, "key_forbids")
    assert [group["name"] for group in seen[eve].json()["by_key"]] == ["ann"]


def test_what_goes_wrong_counts_without_a_word_from_anybody(start: Start, tmp_path: Path) -> None:
    """The verdict, an escalation, and the same prompt again; a failed request has no success either."""
    s = start(models={"local-general": "json_invalid"})
    for text in ("the same words", "the same words", "other words"):
        ask(s, text, {"response_format": {"type": "json_object"}})
    until(lambda: len(rows(tmp_path)) == 3 and any(row["retried"] for row in rows(tmp_path)))
    assert [row["retried"] for row in rows(tmp_path)] == [1, 0, 0]
    assert [(row["lane"], row["escalations"]) for row in rows(tmp_path)] == [("cloud-openai", 1)] * 3
    found = stats(s, since="1h")
    assert (found["total"]["successes"], found["total"]["failures"]) == (2, 1)
    assert found["total"]["validation_failure_rate"] == 1.0
    assert found["escalated"] == {"decisions": 3, "first_call_successes": 2, "share": pytest.approx(2 / 3)}
    assert {one["lane"] for one in found["rejected"]} == {"local-general"}
    assert sum(one["count"] for one in found["rejected"]) == 3


def test_a_request_that_failed_is_tracked_with_its_error(start: Start, tmp_path: Path) -> None:
    faults = dict.fromkeys(("local-general", "local-tools", "cloud-openai", "cloud-anthropic"), "500")
    s = start(models=faults)
    assert ask(s).status_code >= 500
    until(lambda: len(rows(tmp_path)) == 1)
    (row,) = rows(tmp_path)
    assert (row["lane"], row["location"], row["output_tokens"]) == (None, None, 0)
    assert row["error"] in ("lanes_failed", "no_lane_available")
    assert row["fallbacks"] >= 3


def test_a_database_that_is_away_stops_no_answer(scene: Start, tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()  # no database can be opened there
    s = scene(state={"url": f"sqlite:///{tmp_path}/state.db"}, audit={"enabled": False})
    answer = ask(s)
    assert answer.status_code == 200
    until(lambda: httpx2.get(f"{s.url}/readyz", timeout=60).json()["outcomes"]["state"] == "down")
    refused = say(s, answer.headers["x-pointsman-decision-id"], outcome="success")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "outcomes_unavailable")
    assert ask(s).status_code == 200
    (tmp_path / "state.db").rmdir()
    until(lambda: len(rows(tmp_path)) == 2)  # nothing was lost meanwhile


def test_it_can_be_switched_off(start: Start, tmp_path: Path) -> None:
    s = start(outcomes={"enabled": False})
    answer = ask(s)
    assert answer.status_code == 200
    assert httpx2.get(f"{s.url}/readyz", timeout=60).json()["outcomes"]["state"] == "off"
    assert say(s, answer.headers["x-pointsman-decision-id"], outcome="success").status_code == 503
    assert rows(tmp_path) == []
