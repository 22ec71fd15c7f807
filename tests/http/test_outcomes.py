"""What becomes of decisions, over real HTTP: one row for each, feedback counted once, and answers that never wait."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Scene

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
    connection = sqlite3.connect(f"file:{folder}/state.db?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        found = connection.execute("SELECT * FROM decisions ORDER BY at").fetchall()
        return [dict(row) for row in found]
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def ask(scene: Scene, text: str = "hello", **headers: str) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return httpx2.post(f"{scene.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


@pytest.fixture
def start(scene: Start, tmp_path: Path) -> Start:
    def started(**more: Any) -> Scene:
        state = {"url": f"sqlite:///{tmp_path}/state.db"}
        return scene(**{"state": state, "prices": PRICES} | more)

    return started


def test_every_decision_is_one_row_without_a_word_of_it(start: Start, tmp_path: Path) -> None:
    s = start()
    first = ask(s, "What is a pangolin?", **{"x-pointsman-session": "pangolins"})
    second = ask(s, "What is an okapi?", **{"x-pointsman-prefer": "cloud"})
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
