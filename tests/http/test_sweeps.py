"""Sweeps and the judge over real HTTP: what they ask, what they never ask, and that no client notices."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve.config import Config
from tests.http import test_embeddings as embeddings
from tests.http.conftest import Scene
from tests.http.test_metrics import scrape, total
from tests.http.test_reviews import until
from tests.support.serving import client, config, serving
from tests.support.spending import attempts, books
from tests.support.upstream import ThreadedUpstream

Start = Callable[..., Scene]
ALWAYS = {"enabled": True, "every": "day", "open_hours": 24, "share": 1.0}
JUDGE = {"lane": "cloud-openai", "share": 1.0}
PRICES = {
    "version": "t",
    "lanes": {"cloud-openai": {"input": 1, "output": 2}, "cloud-anthropic": {"input": 3, "output": 9}},
}
CLOUD = {"x-pointsman-prefer": "cloud"}
STRONGEST = {"x-pointsman-prefer": "tier3"}
CARD = "My card is 4111 1111 1111 1111"


@pytest.fixture
def start(scene: Start, tmp_path: Path) -> Start:
    def started(**more: Any) -> Scene:
        state = {"url": f"sqlite:///{tmp_path}/state.db"}
        return scene(**{"state": state, "prices": PRICES, "metrics": {"cpst_every_s": 0}} | more)

    return started


def rows(folder: Path, table: str = "sweep_results") -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{folder}/state.db?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY at")]  # noqa: S608
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def ask(
    s: Scene, headers: dict[str, str] = CLOUD, text: str = "What is an okapi?", **more: Any
) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 40} | more
    return httpx2.post(f"{s.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def made(s: Scene, **labels: str) -> float:
    return total(scrape(s.url), "pointsman_shadow_calls_total", **labels)


# --- sweeps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_the_tier_below_is_asked_once_and_what_it_said_is_compared(
    start: Start, tmp_path: Path, stream: bool
) -> None:
    s = start(sweeps=ALWAYS)
    answer = ask(s, stream=stream)
    assert answer.headers["x-pointsman-lane"] == "cloud-openai"
    until(lambda: len(rows(tmp_path)) == 1)
    (row,) = rows(tmp_path)
    assert row["decision_id"] == answer.headers["x-pointsman-decision-id"] != row["id"]
    assert (row["from_lane"], row["from_tier"], row["to_lane"], row["to_tier"]) == (
        "cloud-openai",
        2,
        "local-general",
        1,
    )
    assert (row["verdict"], row["agreement"], row["score"], row["good"]) == ("valid", 1.0, None, 1)
    assert (len(s.local.requests), len(s.cloud.requests)) == (1, 1)
    assert made(s, purpose="sweeps", outcome="valid") == 1
    until(lambda: len(rows(tmp_path, "decisions")) == 1)  # it is no decision of a client
    kept = (tmp_path / "state.db").read_bytes() + (tmp_path / "state.db-wal").read_bytes()
    assert b"okapi" not in kept


def test_nothing_is_asked_again_unless_it_is_configured(start: Start, tmp_path: Path) -> None:
    s = start()
    ask(s)
    until(lambda: len(rows(tmp_path, "decisions")) == 1)
    assert (len(s.local.requests), made(s)) == (0, 0)


def test_it_is_paid_by_an_account_of_its_own_and_audited_as_a_call_of_its_own(
    start: Start, tmp_path: Path
) -> None:
    s = start(sweeps=ALWAYS)
    ask(s, STRONGEST)
    until(lambda: len(rows(tmp_path)) == 1)
    (row,) = rows(tmp_path)
    url = f"sqlite:///{tmp_path}/state.db"
    until(lambda: len(attempts(url)) == 2)
    client, sweep = attempts(url)
    assert (client.payer, client.lane) == ("anonymous", "cloud-anthropic")
    assert (sweep.payer, sweep.lane, sweep.decision_id) == ("pointsman:sweeps", "cloud-openai", row["id"])
    assert row["cost"] == sweep.cost > 0
    assert books(url, "sweeps").spent == sweep.cost
    assert books(url, "key:anonymous").spent == client.cost
    assert books(url, "total").spent == client.cost + sweep.cost

    until(lambda: len(audited(tmp_path, row["id"])) == 2)
    intent, outcome = audited(tmp_path, row["id"])
    assert (intent["reasons"], intent["off_premises"]) == (["sweep"], True)
    assert [place["lane"] for place in intent["lanes"]] == ["cloud-openai"]
    assert (outcome["status"], outcome["cloud_egress"], outcome["cost_microusd"]) == ("ok", True, row["cost"])


def audited(folder: Path, decision: str) -> list[dict[str, Any]]:
    """The bodies of a decision's records, in order."""
    found = [row for row in rows(folder, "audit_records") if row["decision"] == decision]
    return [json.loads(row["body"]) for row in found]


def test_confidential_data_is_never_swept_or_judged_off_the_premises(tmp_path: Path) -> None:
    """The only tier below is a cloud lane, and the judge is one, too."""
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        settings = _upside_down(local.url, cloud.url, f"sqlite:///{tmp_path}/state.db")
        with serving(settings) as url, client(url) as sdk:
            s = Scene(url, sdk, local, cloud)
            for text in (CARD, "What is a noun?"):
                assert ask(s, {}, text).headers["x-pointsman-lane"] == "local-general"
            until(lambda: len(rows(tmp_path)) == 1 and made(s, purpose="judge") == 1)
            assert rows(tmp_path)[0]["data_class"] == "public"
        assert len(cloud.requests) == 2
        assert not [one for one in cloud.requests if b"4111" in one.body]


def _upside_down(local: str, cloud: str, url: str) -> Config:
    """Local lanes of tier 2 in front, and cloud lanes of tier 1 below them."""
    raw = json.loads(config(local, cloud, state={"url": url}, sweeps=ALWAYS, judge=JUDGE).canonical)
    for lane in raw["lanes"]:
        lane["tier"] = 2 if lane["location"] == "device" else 1
    return Config.model_validate(raw)


@pytest.mark.parametrize(
    ("fault", "verdict", "good"),
    [("500", "unavailable", None), ("hang", "timeout", None), ("json_wrong_schema", "invalid", 0)],
)
def test_what_the_tier_below_gets_wrong_is_its_own_affair(
    start: Start, tmp_path: Path, fault: str, verdict: str, good: int | None
) -> None:
    s = start(sweeps=ALWAYS | {"timeout_s": 0.5 if fault == "hang" else 30}, models={"local-general": fault})
    schema = {
        "name": "s",
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    }
    answer = ask(s, response_format={"type": "json_schema", "json_schema": schema})
    assert (answer.status_code, answer.headers["x-pointsman-trail"]) == (200, "cloud-openai=ok")
    until(lambda: len(rows(tmp_path)) == 1)
    (row,) = rows(tmp_path)
    assert (row["verdict"], row["good"], row["agreement"]) == (verdict, good, None)
    lane = httpx2.get(f"{s.url}/readyz", timeout=60).json()["lanes"]["local-general"]
    assert (lane["state"], lane["ejections"]) == ("ready", 0)


def test_no_money_of_its_own_no_sweep(start: Start, tmp_path: Path) -> None:
    s = start(sweeps=ALWAYS | {"budget": {"day": 0}})
    assert ask(s, STRONGEST).headers["x-pointsman-lane"] == "cloud-anthropic"
    until(lambda: len(rows(tmp_path)) == 1)
    assert (rows(tmp_path)[0]["verdict"], rows(tmp_path)[0]["good"]) == ("budget", None)
    assert len(s.cloud.requests) == 1
    assert ask(s, STRONGEST).status_code == 200


def test_a_sweep_has_enough_at_some_time(start: Start, tmp_path: Path) -> None:
    s = start(sweeps=ALWAYS | {"samples": 1})
    for number in range(2):
        ask(s, text=f"What is noun {number}?")
    until(lambda: made(s, outcome="enough") == 1)
    ask(s, text="What is a verb?")
    assert (len(rows(tmp_path)), len(s.local.requests)) == (1, 1)


def test_who_asks_for_a_lane_by_name_is_not_swept(start: Start, tmp_path: Path) -> None:
    s = start(sweeps=ALWAYS)
    ask(s, {}, model="cloud-openai")
    ask(s)
    until(lambda: len(rows(tmp_path)) == 1)
    assert len(s.local.requests) == 1


def test_a_router_that_ends_waits_for_no_sweep_and_owes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        more: dict[str, Any] = {
            "state": {"url": url},
            "prices": PRICES,
            "sweeps": ALWAYS | {"timeout_s": 600},
        }
        settings = config(local.url, cloud.url, models={"cloud-openai": "hang"}, **more)
        with serving(settings) as address:
            body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}
            httpx2.post(f"{address}/v1/chat/completions", json=body, headers=STRONGEST, timeout=60)
            cloud.wait_until(lambda: len(cloud.requests) == 2, 60)
    assert books(url).open == 0
    assert rows(tmp_path) == []


def test_the_report_shows_sweeps(start: Start, tmp_path: Path) -> None:
    s = start(sweeps=ALWAYS)
    ask(s, STRONGEST)
    until(lambda: len(rows(tmp_path)) == 1)
    until(lambda: len(attempts(f"sqlite:///{tmp_path}/state.db")) == 2)
    found = httpx2.get(f"{s.url}/v1/stats", params={"since": "1h"}, timeout=60).json()
    (one,) = found["sweeps"]
    assert (one["from_tier"], one["to_tier"], one["samples"], one["good"]) == (3, 2, 1, 1)
    assert (one["advice"], found["background_usd"]) == ("more samples", one["cost_usd"])
    assert found["total"]["decisions"] == 1


# --- the judge -------------------------------------------------------------------------------------------------


def feedback(folder: Path) -> list[dict[str, Any]]:
    return rows(folder, "decision_feedback")


def test_the_judge_says_how_good_an_answer_was_and_a_person_has_the_last_word(
    start: Start, tmp_path: Path
) -> None:
    s = start(judge=JUDGE)
    decision = ask(s, {}).headers["x-pointsman-decision-id"]
    until(lambda: len(feedback(tmp_path)) == 1)
    (row,) = feedback(tmp_path)
    assert (row["decision_id"], row["source"], row["reviewer"]) == (decision, "judge", 0)
    assert 0 <= row["quality"] <= 1
    assert row["success"] == (row["quality"] >= 0.5)
    (asked,) = s.cloud.requests
    assert "What is an okapi?" in asked.json["messages"][1]["content"]
    said = {"decision_id": decision, "outcome": "failure", "source": "ann"}
    assert httpx2.post(f"{s.url}/v1/feedback", json=said, timeout=60).json()["replaced"] is True
    assert [(one["source"], one["success"]) for one in feedback(tmp_path)] == [("ann", 0)]
    assert attempts(f"sqlite:///{tmp_path}/state.db")[0].payer == "pointsman:judge"


@pytest.mark.parametrize("fault", ["json_invalid", "json_wrong_schema", "500"])
def test_a_judge_that_gives_no_score_is_no_outcome(start: Start, tmp_path: Path, fault: str) -> None:
    s = start(judge=JUDGE, models={"cloud-openai": fault})
    assert ask(s, {}).status_code == 200
    until(lambda: made(s, purpose="judge") == 1)
    assert feedback(tmp_path) == []


@pytest.mark.parametrize(("lane", "judges"), [("cloud-anthropic", True), ("local-general", False)])
def test_a_sweep_asks_the_judge_of_the_answer_below_unless_it_is_its_own(
    start: Start, tmp_path: Path, lane: str, judges: bool
) -> None:
    s = start(sweeps=ALWAYS, judge={"lane": lane, "share": 1.0})
    assert ask(s).headers["x-pointsman-lane"] == "cloud-openai"
    until(lambda: len(rows(tmp_path)) == 1)
    (row,) = rows(tmp_path)
    assert (row["to_lane"], row["score"] is not None) == ("local-general", judges)
    assert (row["judge_cost"] > 0) is judges
    assert [one["source"] for one in feedback(tmp_path)] == ["judge"]


def test_no_client_speaks_as_the_judge(start: Start) -> None:
    s = start()
    said = {"decision_id": f"dec_{0:032x}", "outcome": "success", "source": "judge"}
    assert httpx2.post(f"{s.url}/v1/feedback", json=said, timeout=60).status_code == 400


def test_vectors_are_neither_swept_nor_judged() -> None:
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        embedder = embeddings.lane("embed-local", local.url, "small-embedder")
        settings = embeddings.with_lanes(local.url, cloud.url, embedder, sweeps=ALWAYS, judge=JUDGE)
        with serving(settings) as url, client(url) as sdk:
            found = sdk.embeddings.create(model="auto", input="a river in France")
            assert found.data[0].embedding
            text = scrape(url)
    assert total(text, "pointsman_shadow_calls_total") == 0
    assert not cloud.requests
