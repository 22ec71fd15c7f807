"""`/v1/dashboard` over real HTTP: its numbers are those of the database, and who may see them."""

import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve import state
from serve.dashboard.count import SLICES
from serve.dashboard.store import DashboardStore
from serve.keys import credential
from serve.keys.entry import Grant, KeyEntry
from serve.keys.store import KeyStore
from serve.ledger.entries import periods
from tests.http.conftest import Scene
from tests.http.test_reviews import POLICY, hold, until
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder

Start = Callable[..., Scene]
PRICES = {"version": "tests", "lanes": {"cloud-openai": {"input": 1000, "output": 1000}}}


def look(url: str, key: str | None = None, query: str = "", **headers: str) -> httpx2.Response:
    more = headers | ({"authorization": f"Bearer {key}"} if key else {})
    return httpx2.get(f"{url}/v1/dashboard{query}", headers=more, trust_env=False, timeout=60)


def numbers(url: str, decisions: int) -> dict[str, Any]:
    """The dashboard once so many decisions are in it."""
    until(lambda: look(url).json()["totals"]["requests"] >= decisions)
    found: dict[str, Any] = look(url).json()
    return found


def ask(s: Scene, text: str = "What is a noun?", **more: Any) -> None:
    s.ask.chat.completions.create(
        model=more.pop("model", "auto"), messages=[{"role": "user", "content": text}], **more
    )


@pytest.fixture
def start(scene: Start, tmp_path: Path) -> Start:
    return lambda **more: scene(
        **({"state": {"url": f"sqlite:///{tmp_path}/state.db"}, "prices": PRICES} | more)
    )


def test_before_the_first_request_everything_is_there_and_empty(start: Start) -> None:
    found = look(start().url).json()
    assert found["totals"]["requests"] == 0
    assert len(found["timeline"]) == SLICES
    assert found["tasks"] == found["recent"] == found["warnings"] == []
    assert found["scout_p95_ms"] is None
    assert {lane["name"]: lane["state"] for lane in found["lanes"]} == dict.fromkeys(
        ("local-general", "local-tools", "cloud-openai", "cloud-anthropic"), "ready"
    )


def test_decisions_are_shown_by_place_task_cost_and_reason_without_a_word_of_them(start: Start) -> None:
    s = start(budgets={"total": {"day": 1000}}, outcomes={"baseline": "cloud-openai"})
    ask(s, "quicksilver one")
    ask(s, "quicksilver two", model="cloud-openai")
    answer = look(s.url)
    found = numbers(s.url, 2)
    totals = found["totals"]
    assert (totals["requests"], totals["local"], totals["cloud"], totals["failed"]) == (2, 1, 1, 0)
    assert totals["always_cloud"] > totals["cost"] > 0
    assert sum(part["local"] for part in found["timeline"]) == 1
    assert sum(part["cost"] for part in found["timeline"]) == totals["cost"]
    assert sum(task["good"] for task in found["tasks"]) == 2
    assert {one["lane"] for one in found["recent"]} == {"local-general", "cloud-openai"}
    day = {b["scope"]: b for b in found["budgets"] if b["period"] == periods(time.time())[0]}
    if day:  # else midnight has passed since
        assert (day["total"]["spent"], day["total"]["limit"]) == (totals["cost"], 1_000_000_000)
    assert "quicksilver" not in answer.text + str(found)


def test_reviews_that_wait_are_told(start: Start) -> None:
    s = start(policy=POLICY)
    hold(s)
    assert look(s.url).json()["reviews_waiting"] == 1


def test_a_request_that_nobody_answered_is_counted_as_such(start: Start) -> None:
    s = start(models={"local-general": "500", "local-tools": "500"})
    with pytest.raises(Exception, match="503"):
        ask(s, "My card is 4111 1111 1111 1111")
    found = numbers(s.url, 1)
    assert (found["totals"]["failed"], found["totals"]["local"], found["totals"]["cloud"]) == (1, 0, 0)
    assert found["recent"][0]["error"] == "no_lane_available"
    assert found["tasks"][0]["good"] == 0


@pytest.mark.parametrize("query", ["?hours=2", "?hours=1&hours=1", "?hours=", "?hours=x"])
def test_another_time_than_the_page_offers_is_refused(start: Start, query: str) -> None:
    answer = look(start().url, query=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "hours")


def test_the_page_needs_no_key_and_its_numbers_a_scope(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    keys = {}
    for scope in ("none", "reviewer", "metrics", "admin"):
        public, keys[scope], sha256 = credential.mint()
        grant = Grant.model_validate({"scopes": [] if scope == "none" else [scope]})
        KeyStore(url).add(KeyEntry(id=public, name=scope, sha256=sha256, grant=grant))
    s = start(keys={"mode": "required", "url": url})
    page = httpx2.get(f"{s.url}/dashboard", trust_env=False, timeout=60)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert look(s.url).status_code == 401
    assert {scope: look(s.url, key).status_code for scope, key in keys.items()} == {
        "none": 403,
        "reviewer": 403,
        "metrics": 200,
        "admin": 200,
    }


def test_in_open_mode_a_page_that_renamed_itself_to_this_machine_reads_nothing(start: Start) -> None:
    assert look(start().url, host="evil.example").status_code == 403


def test_without_the_database_it_says_so(scene: Start, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("no folder")
    answer = look(scene(state={"url": f"sqlite:///{tmp_path}/folder/state.db"}).url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "dashboard_unavailable")


@pytest.mark.parametrize("kind", KINDS)
def test_the_questions_work_on_both_databases(kind: str) -> None:
    with memory_folder() as folder, database(kind, folder) as url:
        store = DashboardStore(state.open_database(url))
        kept = store.kept(24, int(time.time() * 1000), {})
        store.close()
    assert (kept.totals.requests, kept.totals.local_p95_ms, len(kept.timeline)) == (0, None, SLICES)


def test_what_a_person_said_counts_more_than_what_happened(start: Start, tmp_path: Path) -> None:
    s = start()
    for _ in range(3):
        ask(s)
    found = numbers(s.url, 3)
    ids = [one["decision_id"] for one in found["recent"]]
    with sqlite3.connect(tmp_path / "state.db", timeout=30) as connection:
        connection.execute("UPDATE decisions SET retried = 0")
        connection.execute(
            "INSERT INTO decision_feedback (decision_id, at, success, correction_minutes, key, reviewer) "
            "VALUES (?, 0, 0, 0, 'x', 0)",
            (ids[0],),
        )
    connection.close()
    # A count that took a while is shown for a while.
    until(lambda: look(s.url).json()["tasks"][0]["told"] == 1)
    (task,) = look(s.url).json()["tasks"]
    assert (task["requests"], task["good"], task["told"]) == (3, 2, 1)


def test_what_a_success_costs_is_shown_by_every_dimension_with_its_interval(start: Start) -> None:
    s = start(outcomes={"correction_usd_per_hour": 60})
    for n in range(6):
        ask(s, f"What is noun {n}?", model="cloud-openai", extra_headers={"x-pointsman-session": "s"})
    ask(s)
    found = numbers(s.url, 7)
    one = found["recent"][-1]["decision_id"]
    body = {"decision_id": one, "outcome": "failure", "correction_minutes": 2}
    assert httpx2.post(f"{s.url}/v1/feedback", json=body, trust_env=False, timeout=60).status_code == 200
    # The counts are kept for a while: the failure is seen only in those that were made after it was said.
    until(lambda: (one := _successes(s.url, "total")[0])["judged"] == 1 and one["decisions"] == 7)
    (total,) = _successes(s.url, "total")
    spent = found["totals"]["cost"] + 2_000_000
    assert (total["successes"], total["correction"]) == (6, 2_000_000)
    assert total["cpst"] == pytest.approx(spent / 6)
    assert 0 < total["low"] < total["cpst"] < total["high"]
    assert {one["name"]: one["decisions"] for one in _successes(s.url, "tier")} == {"2": 6, "1": 1}
    assert {one["name"] for one in _successes(s.url, "lane")} == {"cloud-openai", "local-general"}
    assert [one["decisions"] for one in _successes(s.url, "key")] == [7]
    assert [one["decisions"] for one in _successes(s.url, "session")] == [6]
    assert found["totals"]["tier1"] == 1


def _successes(url: str, by: str) -> list[dict[str, Any]]:
    return [one for one in look(url).json()["successes"] if one["by"] == by]


def dom(url: str, folder: Path) -> str:
    """The page as a real browser has built it."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to open the page with")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    command = [browser, *flags, f"--user-data-dir={folder}/browser", f"{url}/dashboard"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def test_a_real_browser_draws_it(start: Start, tmp_path: Path) -> None:
    s = start()
    ask(s, "quicksilver")
    numbers(s.url, 1)
    found = dom(s.url, tmp_path)
    assert '<main id="data">' in found
    assert re.search(r'<rect [^>]*class="local"', found)
    assert re.search(r'<polyline class="spend"', found)
    assert re.search(r'<table id="successes">.*task type.*95% interval', found, re.DOTALL)
    assert "<td>local first</td>" in found or '<td class="">local first</td>' in found
    assert "quicksilver" not in found


def test_a_real_browser_asks_for_a_key_where_one_is_needed(start: Start, tmp_path: Path) -> None:
    s = start(keys={"mode": "required", "url": f"sqlite:///{tmp_path}/keys.db"})
    found = dom(s.url, tmp_path)
    assert '<section id="door">' in found
    assert '<main id="data" hidden' in found
