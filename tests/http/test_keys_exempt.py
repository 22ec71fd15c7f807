"""Rules that a key sets aside: only those, only when asked, and written down."""

import base64
import json
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from serve.keys import credential
from serve.keys.entry import Grant, KeyEntry
from serve.keys.store import KeyStore
from serve.signals.sensitivity.levels import DOUBTS
from tests.http.conftest import Scene

Start = Callable[..., Scene]
MAIL = "Write to anna.svensson@nordbolaget.se that the meeting is moved."
CARD = "My card is 4111 1111 1111 1111."
BLOB = base64.b64encode(random.Random(1).randbytes(400)).decode()
PICTURE = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
]


@pytest.fixture
def running(scene: Start, tmp_path: Path) -> Callable[..., "Caller"]:
    """`running(exempt=[...])`: one Pointsman and a key that may set these rules aside."""

    def start(**grant: Any) -> Caller:
        url = f"sqlite:///{tmp_path}/keys.db"
        public, key, sha256 = credential.mint()
        wanted = Grant.model_validate({"overrides": True} | grant)
        KeyStore(url).add(KeyEntry(id=public, name="me", sha256=sha256, grant=wanted))
        database = tmp_path / "state.db"
        found = scene(keys={"mode": "required", "url": url}, state={"url": f"sqlite:///{database}"})
        return Caller(found, key, database)

    return start


class Caller:
    """One key at one Pointsman."""

    def __init__(self, scene: Scene, key: str, database: Path) -> None:
        self.scene, self._key, self._database = scene, key, database

    def ask(self, content: object, exempt: str | None = None) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self._key}"} | (
            {"x-pointsman-exempt": exempt} if exempt else {}
        )
        body = {"model": "cloud-openai", "messages": [{"role": "user", "content": content}]}
        url = f"{self.scene.url}/v1/chat/completions"
        return httpx2.post(url, json=body, headers=headers, trust_env=False, timeout=60)

    def noted(self) -> list[dict[str, Any]]:
        """What the audit log holds of rules set aside, once there is an outcome."""
        end = time.monotonic() + 60
        with closing(sqlite3.connect(self._database, timeout=30)) as db:
            while not db.execute("SELECT 1 FROM audit_records WHERE kind = 'outcome'").fetchall():
                assert time.monotonic() < end, "no outcome was written"
                time.sleep(0.02)
            rows = db.execute("SELECT body FROM audit_records WHERE kind = 'allowance_used'").fetchall()
        return [json.loads(body) for (body,) in rows]


def refused(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_rule_that_the_key_names_is_set_aside_when_asked_and_only_then(running: Any) -> None:
    caller = running(exempt=["email"])
    assert caller.ask(MAIL).status_code == 403
    assert not caller.scene.cloud.requests
    answer = caller.ask(MAIL, "email")
    assert (answer.status_code, answer.headers["x-pointsman-lane"]) == (200, "cloud-openai")
    (noted,) = caller.noted()
    assert noted["rule"] == "email"
    assert "svensson" not in json.dumps(noted)


def test_whatever_else_is_found_still_counts(running: Any) -> None:
    caller = running(exempt=["email"])
    assert caller.ask(f"{MAIL} {CARD}", "email").status_code == 403
    assert not caller.scene.cloud.connections


def test_a_key_sets_aside_no_rule_that_it_does_not_name(running: Any) -> None:
    caller = running(exempt=["email"])
    for header in ("payment_card", "email, payment_card", "nonsense"):
        assert refused(caller.ask(CARD, header)) == (403, "key_forbids")
    assert not caller.scene.cloud.connections


def test_a_key_that_names_none_sets_none_aside(running: Any) -> None:
    caller = running()
    assert refused(caller.ask(MAIL, "email")) == (403, "key_forbids")
    assert not caller.scene.cloud.connections


def test_what_could_not_be_decoded_is_confidential_whatever_the_key_says(running: Any) -> None:
    caller = running(exempt=["email", "unreadable_part"])
    assert caller.ask(f"{MAIL} {BLOB}", "email,unreadable_part").status_code == 403
    assert not caller.scene.cloud.connections
    assert caller.ask(PICTURE, "unreadable_part").status_code == 200


def test_the_floor_of_the_key_stands(running: Any) -> None:
    caller = running(exempt=["email"], class_floor="confidential")
    assert caller.ask(MAIL, "email").status_code == 403
    assert not caller.scene.cloud.connections


@pytest.mark.parametrize("rule", [*sorted(DOUBTS), "no_such_rule"])
def test_a_key_cannot_name_a_doubt_or_a_rule_that_there_is_not(rule: str) -> None:
    with pytest.raises(ValidationError, match="nobody may set aside"):
        Grant.model_validate({"exempt": [rule]})
