"""Answers that a person must see: held, shown to whom it concerns, decided once, and given or never given."""

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion
from pydantic import JsonValue

from serve.config import Config
from serve.ingress import http_app
from serve.keys import credential
from serve.keys.entry import Grant, KeyEntry
from serve.keys.store import KeyStore
from serve.reviews.desk import ReviewDesk
from tests.http.conftest import Scene

Start = Callable[..., Scene]
SECRET = "My card is 4111 1111 1111 1111, please summarise what I can dispute."
BECAUSE = "Somebody looks at what is said about confidential data."
POLICY = {
    "rules": [{"name": "local_first", "prefer": ["local-general"], "because": "a rule of the tests"}],
    "review": [{"name": "confidential", "when": {"class_at_least": "confidential"}, "because": BECAUSE}],
}


def body(text: str = SECRET, **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}]} | more


def call(method: str, url: str, key: str | None = None, **more: Any) -> httpx2.Response:
    headers = more.pop("headers", {}) | ({"authorization": f"Bearer {key}"} if key else {})
    return httpx2.request(method, url, headers=headers, trust_env=False, timeout=60, **more)


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"policy": POLICY, "state": {"url": f"sqlite:///{tmp_path}/state.db"}}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, JsonValue]]]:
    """What the journal is told, in order."""
    notes: list[tuple[str, str, dict[str, JsonValue]]] = []

    class Kept:
        def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
            notes.append((kind, decision_id, dict(fields)))

    monkeypatch.setattr("tests.support.serving.http_app", lambda router: http_app(router, Kept()))
    return notes


class Keys:
    """A database of keys: an asker and two reviewers."""

    def __init__(self, folder: Path) -> None:
        self.store = KeyStore(f"sqlite:///{folder}/keys.db")
        self.section = {"mode": "required", "url": f"sqlite:///{folder}/keys.db", "refresh_s": 0.1}
        self.asker, self.other = self.make("asker"), self.make("other")
        self.reviewer = self.make("reviewer", scopes=["reviewer"])
        self.second = self.make("second", scopes=["reviewer"])

    def make(self, name: str, **grant: Any) -> str:
        public, key, sha256 = credential.mint()
        self.store.add(KeyEntry(id=public, name=name, sha256=sha256, grant=Grant.model_validate(grant)))
        return key


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def hold(s: Scene, key: str | None = None, **more: Any) -> dict[str, Any]:
    answer = call("POST", f"{s.url}/v1/chat/completions", key, json=body(**more))
    assert answer.status_code == 202, answer.text
    held: dict[str, Any] = answer.json() | {"url": s.url + answer.headers["location"]}
    return held


def until(true: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(600):
        if true():
            return
        done.wait(0.05)
    pytest.fail("waited 30 s in vain")


# --- held ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_under_review_is_202_without_a_word_of_it(
    scene: Start, settings: dict[str, Any], stream: bool
) -> None:
    s = scene(**settings)
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    answer = call("POST", f"{s.url}/v1/chat/completions", json=body(**more))
    held = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")
    assert answer.headers["location"] == f"/v1/reviews/{held['id']}"
    assert held["status"] == "pending"
    assert held["decision_id"] == answer.headers["x-pointsman-decision-id"]
    assert held["expires_at"] == held["created_at"] + 86_400
    assert held["reason"] == {"code": "confidential", "text": BECAUSE}
    assert not held.keys() & {"held", "answer", "note"}
    (sent,) = s.local.requests
    assert isinstance(sent.json, dict)
    assert not sent.json.get("stream")


def test_what_no_rule_holds_is_answered_at_once(scene: Start, settings: dict[str, Any]) -> None:
    s = scene(**settings)
    assert call("POST", f"{s.url}/v1/chat/completions", json=body("What is a noun?")).status_code == 200
    answer = call("POST", f"{s.url}/v1/chat/completions", json=body("What is a noun?", stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_route_says_that_it_would_be_held(scene: Start, settings: dict[str, Any]) -> None:
    s = scene(**settings)
    decided = call("POST", f"{s.url}/v1/route", json=body()).json()
    assert decided["review"] == {"code": "confidential", "text": BECAUSE}
    assert f"A reviewer must approve the answer first: {BECAUSE}" in decided["explanation"]
    assert call("POST", f"{s.url}/v1/route", json=body("What is a noun?")).json()["review"] is None


def test_a_request_that_failed_leaves_nothing_to_review(scene: Start, settings: dict[str, Any]) -> None:
    s = scene(models={"local-general": "500", "local-tools": "500"}, **settings)
    assert call("POST", f"{s.url}/v1/chat/completions", json=body()).status_code == 503
    assert call("GET", f"{s.url}/v1/reviews").json()["data"] == []


def test_nothing_held_leaves_to_a_cloud_lane(scene: Start, settings: dict[str, Any]) -> None:
    s = scene(**settings)
    held = hold(s)
    call("POST", f"{held['url']}/approve", json={})
    assert s.cloud.requests == []


# --- shown -----------------------------------------------------------------------------------------------------


def test_until_it_is_approved_the_one_who_asked_sees_no_word_of_it(
    scene: Start, settings: dict[str, Any], keys: Keys
) -> None:
    s = scene(keys=keys.section, **settings)
    both = keys.make("both", scopes=["reviewer"])
    until(lambda: call("GET", f"{s.url}/v1/models", both).status_code == 200)
    for key in (keys.asker, both):
        held = hold(s, key)
        seen = call("GET", held["url"], key)
        assert (seen.status_code, seen.json()["status"]) == (200, "pending")
        assert not seen.json().keys() & {"held", "answer"}
        assert code(call("GET", f"{held['url']}?as=completion", key)) == (409, "review_pending")
        reviewer = call("GET", held["url"], keys.reviewer).json()
        assert reviewer["held"]["prompt"] == SECRET
        assert reviewer["held"]["answer"]["choices"][0]["message"]["content"]
        assert "answer" not in reviewer


def test_nobody_else_can_tell_a_review_from_none(scene: Start, settings: dict[str, Any], keys: Keys) -> None:
    s = scene(keys=keys.section, **settings)
    held = hold(s, keys.asker)
    theirs, none = (
        call("GET", url, keys.other) for url in (held["url"], f"{s.url}/v1/reviews/rev_{'0' * 32}")
    )
    assert (theirs.status_code, theirs.text) == (404, none.text)
    for verb in ("approve", "reject"):
        assert call("POST", f"{held['url']}/{verb}", keys.other, json={"note": "x"}).status_code == 404


def test_the_list_is_for_reviewers_and_has_no_content(
    scene: Start, settings: dict[str, Any], keys: Keys
) -> None:
    s = scene(keys=keys.section, **settings)
    first, second = hold(s, keys.asker), hold(s, keys.asker)
    answer = call("GET", f"{s.url}/v1/reviews?status=pending", keys.reviewer)
    assert {review["id"] for review in answer.json()["data"]} == {first["id"], second["id"]}
    assert "4111" not in answer.text
    assert answer.json()["data"][0]["may_decide"]
    assert answer.headers["cache-control"] == "no-store"
    assert code(call("GET", f"{s.url}/v1/reviews", keys.asker)) == (403, "key_forbids")
    page = call("GET", f"{s.url}/v1/reviews?limit=1", keys.reviewer).json()
    assert (len(page["data"]), page["has_more"]) == (1, True)


def test_a_list_of_nonsense_is_refused(scene: Start, settings: dict[str, Any]) -> None:
    s = scene(**settings)
    twice = "status=pending&status=pending"
    for query in ("status=held", twice, "limit=0", "limit=201", "limit=x", "limit=²", "limit=" + "9" * 5000):
        assert code(call("GET", f"{s.url}/v1/reviews?{query}")) == (400, "invalid_request"), query


# --- decided ---------------------------------------------------------------------------------------------------


def test_an_approved_answer_is_given_as_it_came_and_sdks_can_read_it(
    scene: Start, settings: dict[str, Any], keys: Keys
) -> None:
    s = scene(keys=keys.section, **settings)
    with openai.OpenAI(base_url=f"{s.url}/v1", api_key=keys.asker, max_retries=0) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": SECRET}]
        )
        assert raw.status_code == 202
        place = raw.headers["location"].removeprefix("/v1")
        said = call("GET", f"{s.url}/v1{place}", keys.reviewer).json()["held"]["answer"]
        done = call("POST", f"{s.url}/v1{place}/approve", keys.reviewer, json={"note": "looks right"})
        assert (done.status_code, done.json()["status"]) == (200, "approved")
        assert "answer" not in done.json()
        seen = call("GET", f"{s.url}/v1{place}", keys.asker).json()
        assert (seen["status"], seen["note"], seen["answer"]) == ("approved", "looks right", said)
        assert "reviewer" not in seen
        whole = sdk.get(f"{place}?as=completion", cast_to=ChatCompletion)
        assert whole.choices[0].message.content == said["choices"][0]["message"]["content"]
        assert whole.model_dump(exclude_none=True) == said


def test_a_rejected_answer_is_never_given(scene: Start, settings: dict[str, Any], keys: Keys) -> None:
    s = scene(keys=keys.section, **settings)
    held = hold(s, keys.asker)
    assert code(call("POST", f"{held['url']}/reject", keys.reviewer, json={})) == (400, "invalid_request")
    done = call("POST", f"{held['url']}/reject", keys.reviewer, json={"note": "names a customer"})
    assert done.json()["status"] == "rejected"
    seen = call("GET", held["url"], keys.asker).json()
    assert (seen["status"], seen["note"], "answer" in seen) == ("rejected", "names a customer", False)
    assert code(call("GET", f"{held['url']}?as=completion", keys.asker)) == (403, "review_rejected")
    for who in (keys.reviewer, keys.second):
        answer = call("POST", f"{held['url']}/approve", who, json={})
        assert (*code(answer), answer.headers["x-should-retry"]) == (409, "review_decided", "false")


def test_nobody_decides_on_an_answer_of_their_own(scene: Start, settings: dict[str, Any], keys: Keys) -> None:
    s = scene(keys=keys.section, **settings)
    held = hold(s, keys.reviewer)
    for verb in ("approve", "reject"):
        answer = call("POST", f"{held['url']}/{verb}", keys.reviewer, json={"note": "x"})
        assert code(answer) == (403, "key_forbids")
    plain = hold(s, keys.asker)
    assert code(call("POST", f"{plain['url']}/approve", keys.asker, json={})) == (403, "key_forbids")
    assert call("POST", f"{held['url']}/approve", keys.second, json={}).status_code == 200


def test_of_two_reviewers_who_race_one_decides(
    scene: Start, settings: dict[str, Any], keys: Keys, told: list[tuple[str, str, dict[str, JsonValue]]]
) -> None:
    s = scene(keys=keys.section, **settings)
    held = hold(s, keys.asker)
    start, found = threading.Barrier(6), list[int]()

    def decide(number: int) -> None:
        key, verb = ((keys.reviewer, "approve"), (keys.second, "reject"))[number % 2]
        start.wait(60)
        found.append(call("POST", f"{held['url']}/{verb}", key, json={"note": "mine"}).status_code)

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [409] * 5
    status = call("GET", held["url"], keys.asker).json()["status"]
    assert [kind for kind, _, _ in told] == ["review_held", f"review_{status}"]


NONSENSE = [
    b"",
    b"[]",
    b"null",
    b'{"note": 3}',
    b'{"note": null}',
    b'{"note": "\\ud800"}',
    b'{"note": "x", "status": "approved"}',
    json.dumps({"note": "x" * 2001}).encode(),
    b"[" * 5000,
]


def test_a_verdict_that_makes_no_sense_is_refused_and_nothing_is_decided(
    scene: Start, settings: dict[str, Any]
) -> None:
    held, json_type = hold(scene(**settings)), {"content-type": "application/json"}
    for sent in NONSENSE:
        for verb in ("approve", "reject"):
            answer = call("POST", f"{held['url']}/{verb}", content=sent, headers=json_type)
            assert code(answer) == (400, "invalid_request"), sent[:40]
    assert call("GET", held["url"]).json()["status"] == "pending"


def test_a_note_of_any_characters_is_kept(scene: Start, settings: dict[str, Any]) -> None:
    held = hold(scene(**settings))
    note = "\x00 <script>alert(1)</script> \u202e ' \" 😀" + "x" * 1900
    assert call("POST", f"{held['url']}/reject", json={"note": note}).json()["note"] == note


def test_a_verdict_too_long_to_be_one_is_413(scene: Start, settings: dict[str, Any]) -> None:
    held = hold(scene(**settings))
    assert call("POST", f"{held['url']}/approve", json={"note": "x" * 70_000}).status_code == 413


# --- time and room ---------------------------------------------------------------------------------------------


def test_what_nobody_decided_in_time_is_gone(
    scene: Start, settings: dict[str, Any], told: list[tuple[str, str, dict[str, JsonValue]]]
) -> None:
    s = scene(reviews={"expire_s": 1}, **settings)
    held = hold(s)
    until(lambda: call("GET", held["url"]).status_code == 410)
    assert code(call("GET", held["url"])) == (410, "review_expired")
    assert code(call("POST", f"{held['url']}/approve", json={})) == (410, "review_expired")
    until(lambda: [kind for kind, _, _ in told] == ["review_held", "review_expired"])
    assert call("GET", f"{s.url}/v1/reviews?status=expired").json()["data"][0]["id"] == held["id"]


def test_an_approved_answer_is_kept_for_its_time(scene: Start, settings: dict[str, Any]) -> None:
    held = hold(scene(reviews={"keep_s": 1}, **settings))
    assert call("POST", f"{held['url']}/approve", json={"note": "fine"}).status_code == 200
    until(lambda: call("GET", held["url"]).status_code == 410)
    assert code(call("GET", held["url"])) == (410, "review_deleted")


def test_a_key_may_have_so_many_waiting_and_no_lane_works_for_more(
    scene: Start, settings: dict[str, Any], keys: Keys
) -> None:
    s = scene(keys=keys.section, reviews={"max_pending": 2, "max_pending_per_key": 1}, **settings)
    first = hold(s, keys.asker)
    answer = call("POST", f"{s.url}/v1/chat/completions", keys.asker, json=body())
    assert (*code(answer), answer.headers["x-should-retry"]) == (429, "too_many_reviews", "false")
    hold(s, keys.other)
    full = call("POST", f"{s.url}/v1/chat/completions", keys.second, json=body())
    assert code(full) == (503, "reviews_full")
    assert full.headers["x-pointsman-decision-id"]
    assert len(s.local.requests) == 2
    assert call("POST", f"{first['url']}/reject", keys.reviewer, json={"note": "no"}).status_code == 200
    hold(s, keys.asker)


# --- when the database is gone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite:///{}/folder/state.db", "postgresql://127.0.0.1:9/nobody"])
def test_without_the_database_no_held_answer_is_given(
    scene: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    (tmp_path / "folder").write_text("no folder")
    s = scene(policy=POLICY, state={"url": url.format(tmp_path)})
    answer = call("POST", f"{s.url}/v1/chat/completions", json=body())
    assert (*code(answer), answer.headers["retry-after"]) == (503, "reviews_unavailable", "5")
    assert s.local.requests == []
    assert code(call("GET", f"{s.url}/v1/reviews")) == (503, "reviews_unavailable")
    assert call("POST", f"{s.url}/v1/chat/completions", json=body("What is a noun?")).status_code == 200
    assert "the database of reviews cannot be used" in caplog.text
    assert "4111" not in caplog.text


def test_an_answer_that_cannot_be_kept_is_not_given(
    scene: Start, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away while the lane works."""
    real, path = ReviewDesk.require_room, tmp_path / "state.db"

    async def then_gone(desk: ReviewDesk, key: Any) -> None:
        await real(desk, key)
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE reviews")
        connection.close()

    monkeypatch.setattr(ReviewDesk, "require_room", then_gone)
    s = scene(**settings)
    answer = call("POST", f"{s.url}/v1/chat/completions", json=body())
    assert code(answer) == (503, "reviews_unavailable")
    assert len(s.local.requests) == 1


# --- told ------------------------------------------------------------------------------------------------------


def test_the_journal_hears_ids_and_codes_and_no_content(
    scene: Start, settings: dict[str, Any], keys: Keys, told: list[tuple[str, str, dict[str, JsonValue]]]
) -> None:
    s = scene(keys=keys.section, **settings)
    held = hold(s, keys.asker)
    call("POST", f"{held['url']}/reject", keys.reviewer, json={"note": "a telling note"})
    assert [(kind, decision) for kind, decision, _ in told] == [
        ("review_held", held["decision_id"]),
        ("review_rejected", held["decision_id"]),
    ]
    asker, reviewer = (keys.store.current(name).id for name in ("asker", "reviewer"))
    fields = told[1][2]
    assert (fields["key"], fields["reviewer"], fields["rule"]) == (asker, reviewer, "confidential")
    assert (fields["class"], fields["lane"], fields["review"]) == (
        "confidential",
        "local-general",
        held["id"],
    )
    assert "4111" not in str(told)
    assert "telling" not in str(told)


def test_without_a_journal_the_log_hears_it(
    scene: Start, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pointsman.review")
    held = hold(scene(**settings))
    call("POST", f"{held['url']}/approve", json={"note": "a telling note"})
    lines = [record.message for record in caplog.records if record.name == "pointsman.review"]
    kinds = [json.loads(line.partition(" ")[2])["kind"] for line in lines]
    assert kinds == ["review_held", "review_approved"]
    assert "4111" not in caplog.text
    assert "telling" not in caplog.text


def test_a_held_answer_that_the_journal_does_not_take_is_not_given(
    scene: Start, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
            raise RuntimeError("no room for it")

    monkeypatch.setattr("tests.support.serving.http_app", lambda router: http_app(router, Broken()))
    s = scene(**settings)
    answer = call("POST", f"{s.url}/v1/chat/completions", json=body())
    assert code(answer) == (500, "internal_error")
    assert "location" not in answer.headers


# --- the page --------------------------------------------------------------------------------------------------


def test_the_page_needs_no_key_and_may_load_and_run_nothing_but_itself(
    scene: Start, settings: dict[str, Any], keys: Keys
) -> None:
    s = scene(keys=keys.section, **settings)
    hold(s, keys.asker)
    answer = call("GET", f"{s.url}/reviews")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in answer.text.lower()
    assert "4111" not in answer.text


@pytest.mark.parametrize("origin", [None, "http://evil.example"])
def test_in_open_mode_a_page_that_renamed_itself_to_this_machine_reads_nothing(
    scene: Start, settings: dict[str, Any], origin: str | None
) -> None:
    s = scene(**settings)
    held = hold(s)
    headers = {"host": "evil.example"} | ({"origin": origin} if origin else {})
    for url in (held["url"], f"{s.url}/v1/reviews"):
        assert code(call("GET", url, headers=headers)) == (403, "key_forbids")
    posted = call("POST", f"{held['url']}/approve", json={}, headers=headers)
    assert code(posted) == (403, "key_forbids")


def test_another_sites_form_decides_nothing(scene: Start, settings: dict[str, Any]) -> None:
    held = hold(scene(**settings))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = call(
            "POST", f"{held['url']}/approve", content=b"{}", headers={"content-type": kind, "origin": "null"}
        )
        assert answer.status_code == 415
    assert call("GET", held["url"]).json()["status"] == "pending"


def test_a_key_of_reviews_that_nobody_knows_is_refused_at_load() -> None:
    with pytest.raises(ValueError, match="expire"):
        Config.model_validate({"reviews": {"expire": 3}})
