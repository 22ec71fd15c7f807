"""Keys at the edge: who gets in, how much, and what of a caller's credentials goes further (nothing)."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route
from typer.testing import CliRunner

from models.scout.prescout import PreScout
from serve import hot
from serve.cli import app
from serve.config import EnvRef
from serve.ingress import http_app
from serve.keys import credential, file
from serve.keys.door import UNGUARDED
from serve.keys.entry import Grant, KeyEntry, moment
from serve.keys.store import KeyStore
from serve.lanes.load import LaneLoad
from serve.router import Router
from serve.signals.gather import Judges
from tests.http.conftest import Scene
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder
from tests.support.rawclient import connect
from tests.support.serving import config, reloadable, serving
from tests.support.upstream import ThreadedUpstream

ROOT = Path(__file__).parents[2]
CHAT = {"model": "auto", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
Start = Callable[..., Scene]


class Desk:
    """One database of keys."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "keys.db"
        self.url = f"sqlite:///{self.file}"
        self.store = KeyStore(self.url)
        self.section = {"mode": "required", "url": self.url, "refresh_s": 0.1}

    def key(self, name: str = "me", **grant: Any) -> str:
        entry, key = minted(name, **grant)
        self.store.add(entry)
        return key


def minted(name: str, **grant: Any) -> tuple[KeyEntry, str]:
    public, key, sha256 = credential.mint()
    return KeyEntry(id=public, name=name, sha256=sha256, grant=Grant.model_validate(grant)), key


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def post(url: str, key: str | None, body: object = CHAT, **headers: str) -> httpx2.Response:
    auth = {"authorization": f"Bearer {key}"} if key else {}
    return httpx2.post(
        f"{url}/v1/chat/completions", json=body, headers=auth | headers, trust_env=False, timeout=30
    )


def error(answer: httpx2.Response) -> Mapping[str, str]:
    found: Mapping[str, str] = answer.json()["error"]
    return found


def until(true: Callable[[], bool]) -> None:
    """Wait until it holds, generously."""
    done = threading.Event()
    for _ in range(600):
        if true():
            return
        done.wait(0.05)
    pytest.fail("waited 30 s in vain")


# --- default-deny ----------------------------------------------------------------------------------------------


def routes() -> list[tuple[str, str]]:
    plain = config("http://127.0.0.1:9", "http://127.0.0.1:9")
    served = http_app(Router(plain, Judges(PreScout.load(), None), {}, LaneLoad(plain)))
    found = [
        (method, route.path)
        for route in served.routes
        if isinstance(route, Route)
        for method in sorted(route.methods or ())
    ]
    assert len(found) == sum(len(getattr(route, "methods", None) or "?") for route in served.routes)
    return found


UNKNOWN = [
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/redoc"),
    ("GET", "/metrics"),
    ("POST", "/healthz/"),
    ("GET", "//healthz"),
    ("GET", "/healthz/../v1/models"),
    ("GET", "/HEALTHZ"),
    ("GET", "/reviews/"),
    ("GET", "/v1/reviews/rev_0/nothing"),
    ("POST", "/invocations"),
    ("PUT", "/v1/route"),
    ("DELETE", "/v1/models"),
    ("OPTIONS", "/v1/models"),
    ("HEAD", "/v1/models"),
]
PROMISED = {
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/route"),
    ("GET", "/v1/models"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/reviews"),
    ("GET", "/v1/reviews/{id}"),
    ("POST", "/v1/reviews/{id}/approve"),
    ("POST", "/v1/reviews/{id}/reject"),
}


def test_every_route_but_health_asks_for_a_key(scene: Start, desk: Desk) -> None:
    """K2: 401 without a key on every route there is and on every path there is not; with one, never 401."""
    s, key = scene(keys=desk.section), desk.key()
    shut = [(method, path) for method, path in routes() if path not in UNGUARDED]
    assert set(shut) >= PROMISED
    until(lambda: post(s.url, key).status_code == 200)
    asked = len(s.local.requests)
    with httpx2.Client(trust_env=False, timeout=30) as http:
        for method, path in [*shut, *UNKNOWN]:
            without = http.request(method, s.url + path)
            assert (without.status_code, without.headers["www-authenticate"]) == (401, "Bearer"), (
                method,
                path,
            )
            wrong = http.request(method, s.url + path, headers={"x-api-key": credential.mint()[1]})
            assert wrong.status_code == 401, (method, path)
            let_in = http.request(method, s.url + path, headers={"x-api-key": key})
            assert let_in.status_code in (200, 400, 403, 404, 405, 415), (method, path, let_in.status_code)
        for path in UNGUARDED:
            assert http.get(s.url + path).status_code == 200
    assert len(s.local.requests) == asked
    assert s.cloud.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_keys_in_the_state_database_open_the_door_and_a_revoked_one_closes_it(
    scene: Start, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is a PostgreSQL server: the command line writes there, and every Router reads it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with memory_folder() as folder, database(kind, folder) as url:
        s = scene(keys={"mode": "required", "refresh_s": 0.1}, state={"url": url})
        raw = yaml.safe_load((ROOT / "configs" / "cpu.yaml").read_text()) | {"prices": {}}
        ours = tmp_path / "ours.yaml"
        ours.write_text(yaml.safe_dump(raw | {"state": {"url": url}}))

        def keys(*words: str) -> str:
            done = CliRunner().invoke(app, ["keys", *words, "--config", str(ours)])
            assert done.exit_code == 0, done.output
            return done.stdout.strip()

        key = keys("create", "--name", "me")
        until(lambda: post(s.url, key).status_code == 200)
        assert (tmp_path / "pointsman" / "keys.db").exists() is (kind == "sqlite")
        new = keys("rotate", "me", "--grace", "0")
        until(lambda: (post(s.url, key).status_code, post(s.url, new).status_code) == (401, 200))
        keys("revoke", "me")
        until(lambda: post(s.url, new).status_code == 401)
        assert [item["state"] for item in json.loads(keys("list", "--json"))] == ["revoked", "revoked"]


def test_both_sdks_get_in_with_a_key_and_neither_without(scene: Start, desk: Desk) -> None:
    s, key = scene(keys=desk.section), desk.key()
    with openai.OpenAI(base_url=f"{s.url}/v1", api_key=key, max_retries=0) as ours:
        done = ours.chat.completions.create(model="auto", messages=CHAT["messages"])  # type: ignore[arg-type]
    assert done.choices[0].message.content
    with pytest.raises(openai.AuthenticationError) as caught:
        s.ask.models.list()
    assert caught.value.code == "invalid_api_key"
    theirs = {"x-api-key": key}
    answer = httpx2.get(f"{s.url}/v1/models", headers=theirs, trust_env=False, timeout=60)
    assert answer.status_code == 200
    with (
        anthropic.Anthropic(base_url=s.url, api_key="sk-ant-x", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        client.models.list()


def test_every_wrong_key_gets_the_same_answer(scene: Start, desk: Desk) -> None:
    s, key = scene(keys=desk.section), desk.key()
    entry = desk.store.current("me")
    public, late_key, sha256 = credential.mint()
    desk.store.add(KeyEntry(id=public, name="late", sha256=sha256, expires_at=moment(1e9)))
    gone = desk.key("gone")
    desk.store.revoke("gone")
    until(lambda: post(s.url, key).status_code == 200)
    wrong = [None, "any", gone, late_key, credential.mint()[1], f"pm-{entry.id}-{'A' * 43}"]
    answers = [post(s.url, each) for each in wrong]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert error(answers[0])["code"] == "invalid_api_key"


def raw(url: str, *lines: bytes) -> bytes:
    head = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    with connect(url) as sock:
        sock.sendall(head + b"".join(line + b"\r\n" for line in lines) + b"\r\n")
        return sock.makefile("rb").read()


@pytest.fixture
def odd(scene: Start, desk: Desk) -> tuple[str, bytes]:
    s, key = scene(keys=desk.section), desk.key()
    assert raw(s.url, b"authorization: Bearer " + key.encode()).startswith(b"HTTP/1.1 200 ")
    return s.url, key.encode()


def test_strange_credentials_are_401(odd: tuple[str, bytes]) -> None:
    url, key = odd
    other = credential.mint()[1].encode()
    strange = [
        (b"authorization: Bearer " + key, b"authorization: Bearer " + key),
        (b"authorization: Bearer " + key, b"x-api-key: " + other),
        (b"x-api-key: " + key, b"x-api-key: " + key),
        (b"authorization: Basic " + key,),
        (b"authorization: " + key,),
        (b"authorization:",),
        (b"authorization: Bearer",),
        (b"authorization: Bearer " + key + b"," + key,),
        (b"authorization: Bearer " + b"x" * 30_000,),
        (b"x-api-key: " + key + b" " * 300 + b"x",),
        (b"authorization: Bearer \xc3\xa9\xff",),
        (b"authorization: \xff\xfe",),
        (b"authorization: Bearer ' OR 1=1 --",),
        (b"x-api-key: pm-0123456789-'; DROP TABLE keys; --",),
        (b"authorization: Bearer " + key.upper(),),
        (b"cookie: authorization=" + key,),
    ]
    for lines in strange:
        assert raw(url, *lines).startswith(b"HTTP/1.1 401 "), lines
    assert raw(url, b"authorization: bearer  " + key, b"x-api-key: " + key).startswith(b"HTTP/1.1 200 ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80).filter(lambda value: not {0, 10, 13} & set(value)))
def test_no_bytes_in_a_credential_are_an_error_of_ours(odd: tuple[str, bytes], value: bytes) -> None:
    for name in (b"authorization: ", b"authorization: Bearer ", b"x-api-key: "):
        status = raw(odd[0], name + value).split(b" ")[1]
        # 400 is the HTTP parser's: control characters are no header.
        assert status in (b"401", b"400")


# --- what a key may do -----------------------------------------------------------------------------------------


def route(url: str, key: str, body: object = CHAT, **headers: str) -> httpx2.Response:
    auth = {"authorization": f"Bearer {key}"}
    return httpx2.post(f"{url}/v1/route", json=body, headers=auth | headers, trust_env=False, timeout=30)


def said(text: str, model: str = "auto") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def test_a_lane_outside_of_the_keys_scope_is_never_asked(scene: Start, desk: Desk) -> None:
    s, key = scene(models={"local-general": "500"}, keys=desk.section), desk.key(lanes=["local-general"])
    answer = post(s.url, key)
    assert answer.status_code == 503
    assert s.cloud.requests == []
    excluded = {item["lane"]: item["code"] for item in route(s.url, key).json()["excluded"]}
    assert excluded == {"local-tools": "key", "cloud-openai": "key", "cloud-anthropic": "key"}


def test_a_lane_outside_of_the_keys_scope_is_forbidden_by_name(scene: Start, desk: Desk) -> None:
    s, key = scene(keys=desk.section), desk.key(lanes=["local-general"], overrides=True)
    assert post(s.url, key, said("hello", "local-general")).status_code == 200
    answer = post(s.url, key, said("hello", "cloud-openai"))
    assert (answer.status_code, error(answer)["code"]) == (403, "key_forbids")
    models = httpx2.get(f"{s.url}/v1/models", headers={"x-api-key": key}, trust_env=False, timeout=60).json()
    names = ["auto", "local-general", "cloud/ok"]
    assert [model["id"] for model in models["data"]] == names
    with openai.OpenAI(base_url=f"{s.url}/v1", api_key=key, max_retries=0) as ask:
        assert [ask.models.retrieve(name).id for name in names] == names
        with pytest.raises(openai.NotFoundError):
            ask.models.retrieve("cloud-openai")


def test_without_the_right_an_override_is_text_and_a_lane_by_name_is_forbidden(
    scene: Start, desk: Desk
) -> None:
    s = scene(keys=desk.section)
    plain, free = desk.key("plain"), desk.key("free", overrides=True)
    asked = said("[cloud] What is the capital of France?")
    assert route(s.url, free, asked).json()["lane"] == "cloud-openai"
    assert route(s.url, plain, asked).json()["lane"] == "local-general"
    assert route(s.url, plain, CHAT, **{"x-pointsman-prefer": "cloud"}).json()["lane"] == "local-general"
    post(s.url, plain, asked)
    assert b"[cloud] What is" in s.local.received_bytes
    answer = route(s.url, plain, said("hello", "cloud-openai"))
    assert (answer.status_code, error(answer)["code"], error(answer)["param"]) == (
        403,
        "key_forbids",
        "model",
    )


def test_a_class_floor_raises_and_never_lowers(scene: Start, desk: Desk) -> None:
    s = scene(models={"local-general": "500", "local-tools": "500"}, keys=desk.section)
    floored, plain = desk.key("floored", class_floor="confidential", overrides=True), desk.key("plain")
    for key, text in ((floored, "[cloud] hello"), (plain, "Write to my bank about DE89370400440532013000")):
        decided = route(s.url, key, said(text), **{"x-pointsman-sensitivity": "public"}).json()
        assert decided["permit"]["class"] == "confidential"
        assert post(s.url, key, said(text)).status_code == 503
    assert s.cloud.requests == []
    assert post(s.url, plain).status_code == 200


# --- how much --------------------------------------------------------------------------------------------------


def test_too_many_requests_are_429_with_openais_headers(scene: Start, desk: Desk) -> None:
    s = scene(keys=desk.section)
    key, other = desk.key(requests_per_minute=2), desk.key("other")
    first, _, third = (post(s.url, key) for _ in range(3))
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert (third.status_code, error(third)["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(third.headers["retry-after"]) <= 60
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in third.headers
    assert len(s.local.requests) == 2
    assert "x-ratelimit-limit-requests" not in post(s.url, other).headers


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_reserved_at_their_most_and_settled_at_what_they_were(
    scene: Start, desk: Desk, stream: bool
) -> None:
    s, key = scene(keys=desk.section), desk.key(tokens_per_minute=3000)
    answer = post(s.url, key, CHAT | {"max_tokens": 2000, "stream": stream})
    assert answer.status_code == 200
    # The headers leave before the answer is counted, or with it when it comes in one piece.
    left = int(answer.headers["x-ratelimit-remaining-tokens"])
    assert left < 1000 if stream else left > 2500
    (sent,) = s.local.requests
    until(lambda: remaining(s.url, key) == 3000 - sent.tokens_in - sent.tokens_out)


def remaining(url: str, key: str) -> int:
    answer = httpx2.get(f"{url}/v1/models", headers={"x-api-key": key}, trust_env=False, timeout=60)
    return int(answer.headers["x-ratelimit-remaining-tokens"])


def test_a_request_that_failed_gives_its_tokens_back(scene: Start, desk: Desk) -> None:
    faults = dict.fromkeys(["local-general", "local-tools", "cloud-openai", "cloud-anthropic"], "500")
    s, key = scene(models=faults, keys=desk.section), desk.key(tokens_per_minute=3000)
    assert post(s.url, key, CHAT | {"max_tokens": 2000}).status_code == 503
    assert remaining(s.url, key) == 3000


def test_several_answers_are_reserved_several_times(scene: Start, desk: Desk) -> None:
    s, key = scene(keys=desk.section), desk.key(tokens_per_minute=3000)
    assert post(s.url, key, CHAT | {"max_tokens": 800, "n": 4}).status_code == 429
    assert post(s.url, key, CHAT | {"max_tokens": 800, "n": 3}).status_code == 200


def test_what_never_fits_is_tried_once_by_the_sdk(scene: Start, desk: Desk) -> None:
    s, key = scene(keys=desk.section), desk.key(tokens_per_minute=100, requests_per_minute=100)
    with (
        openai.OpenAI(base_url=f"{s.url}/v1", api_key=key, max_retries=3) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "hi"}], max_tokens=500
        )
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "99"
    assert s.local.requests == []


def test_a_key_has_only_so_many_requests_open_and_a_stream_counts_until_it_ends(
    scene: Start, desk: Desk
) -> None:
    s = scene(models={"local-general": "slow_second_chunk_4000"}, keys=desk.section)
    key, other = desk.key(max_parallel=1), desk.key("other")
    headers = {"authorization": f"Bearer {key}"}
    with httpx2.stream(
        "POST",
        f"{s.url}/v1/chat/completions",
        json=CHAT | {"stream": True},
        headers=headers,
        trust_env=False,
        timeout=60,
    ) as first:
        pieces = first.iter_raw()
        next(pieces)
        second = post(s.url, key)
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        assert (
            httpx2.get(
                f"{s.url}/v1/models", headers={"x-api-key": other}, trust_env=False, timeout=60
            ).status_code
            == 200
        )
    until(lambda: post(s.url, key, said("hello", "auto")).status_code == 200)


def test_a_client_that_leaves_mid_stream_gives_its_place_back(scene: Start, desk: Desk) -> None:
    s = scene(models={"local-general": "slow_second_chunk_25000"}, keys=desk.section)
    key = desk.key(max_parallel=1)
    body = json.dumps(CHAT | {"stream": True}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )

    def status() -> int:
        return httpx2.get(
            f"{s.url}/v1/models", headers={"x-api-key": key}, trust_env=False, timeout=60
        ).status_code

    with connect(s.url) as sock:
        sock.sendall(head.encode() + body)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
        assert status() == 429
    until(lambda: status() == 200)
    assert s.local.requests[0].outcome != "answered"


# --- changes while it runs -------------------------------------------------------------------------------------


def test_a_revoked_key_is_refused_and_its_running_stream_is_not_cut(scene: Start, desk: Desk) -> None:
    s, key = scene(models={"local-general": "slow_second_chunk_4000"}, keys=desk.section), desk.key()
    headers = {"authorization": f"Bearer {key}"}
    models = f"{s.url}/v1/models"
    with httpx2.stream(
        "POST",
        f"{s.url}/v1/chat/completions",
        json=CHAT | {"stream": True},
        headers=headers,
        trust_env=False,
        timeout=60,
    ) as answer:
        pieces = answer.iter_raw()
        body = next(pieces)
        desk.store.revoke("me")
        until(lambda: httpx2.get(models, headers=headers, trust_env=False, timeout=60).status_code == 401)
        body += b"".join(pieces)
    assert body.rstrip().endswith(b"data: [DONE]")


def test_rotation_under_load_refuses_nobody_during_the_grace(scene: Start, desk: Desk) -> None:
    s, old = scene(keys=desk.section), desk.key()
    entry, new = minted("me")
    models = f"{s.url}/v1/models"
    assert httpx2.get(models, headers={"x-api-key": old}, trust_env=False, timeout=60).status_code == 200
    desk.store.rotate(desk.store.current("me"), entry, 3600)
    seen: list[int] = []

    def new_works() -> bool:
        seen.append(httpx2.get(models, headers={"x-api-key": old}, trust_env=False, timeout=60).status_code)
        return httpx2.get(models, headers={"x-api-key": new}, trust_env=False, timeout=60).status_code == 200

    until(new_works)
    assert set(seen) == {200}


def test_a_database_that_breaks_does_not_break_those_who_are_in(scene: Start, desk: Desk) -> None:
    s, key = scene(keys=desk.section), desk.key()
    assert post(s.url, key).status_code == 200
    desk.file.write_bytes(b"no database" * 500)
    for _ in range(5):
        assert post(s.url, key).status_code == 200
    assert post(s.url, credential.mint()[1]).status_code == 401


def test_keys_that_were_never_readable_let_nobody_in(scene: Start, tmp_path: Path) -> None:
    s = scene(keys={"file": str(tmp_path / "none.yaml")})
    answer = post(s.url, credential.mint()[1])
    assert (answer.status_code, error(answer)["code"]) == (503, "keys_unavailable")
    assert post(s.url, "nonsense").status_code == 401
    assert s.local.requests == s.cloud.requests == []


def test_a_mounted_file_of_keys_works_as_well(scene: Start, tmp_path: Path) -> None:
    entry, key = minted("pod")
    (tmp_path / "keys.yaml").write_text("keys:\n" + file.written(entry))
    s = scene(keys={"file": str(tmp_path / "keys.yaml")})
    assert post(s.url, key).status_code == 200


# --- what goes further -----------------------------------------------------------------------------------------


@pytest.fixture
def decisions(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    caplog.set_level(logging.INFO, "pointsman")

    def read() -> list[dict[str, Any]]:
        lines = [r.getMessage() for r in caplog.records if r.name == "pointsman.decision"]
        return [json.loads(line.removeprefix("decision ")) for line in lines]

    return read


def test_no_credential_goes_further_than_the_door(
    desk: Desk,
    decisions: Callable[[], list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANE_KEY", "sk-provider")
    key = desk.key()
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        plain = config(local.url, cloud.url, models={"local-general": "500"}, keys=desk.section)
        lanes = tuple(lane.model_copy(update={"api_key": EnvRef(env="LANE_KEY")}) for lane in plain.lanes)
        with serving(plain.model_copy(update={"lanes": lanes})) as url:
            for stream in (False, True):
                answer = post(url, key, CHAT | {"stream": stream}, cookie="session=tasty")
                assert answer.status_code == 200
                assert "sk-provider" not in answer.text + str(answer.headers)
        secret = key[-43:]
        for upstream in (local, cloud):
            assert {request.headers["authorization"] for request in upstream.requests} == {
                "Bearer sk-provider"
            }
            assert not any({"cookie", "x-api-key"} & set(request.headers) for request in upstream.requests)
            assert not [word for word in (secret, "tasty") if word.encode() in upstream.received_bytes]
    lines = decisions()
    assert {(line["key"], line["key_name"]) for line in lines} == {(desk.store.current("me").id, "me")}
    assert secret not in caplog.text


# --- open mode -------------------------------------------------------------------------------------------------


def test_open_mode_lets_everybody_in_and_says_so(scene: Start) -> None:
    s = scene()
    answer = post(s.url, None)
    assert (answer.status_code, answer.headers["x-pointsman-keys"]) == (200, "open")
    assert httpx2.get(f"{s.url}/readyz", trust_env=False, timeout=60).json()["keys"] == "open"


def test_required_mode_does_not_call_itself_open(scene: Start, desk: Desk) -> None:
    s = scene(keys=desk.section)
    assert "x-pointsman-keys" not in post(s.url, None).headers
    assert httpx2.get(f"{s.url}/readyz", trust_env=False, timeout=60).json()["keys"] == "required"


def test_in_open_mode_a_page_that_renamed_itself_to_this_machine_is_refused(scene: Start) -> None:
    s = scene()
    page = {"host": "evil.example:80", "origin": "http://evil.example"}
    answer = post(s.url, None, CHAT, **page)
    assert (answer.status_code, error(answer)["code"]) == (403, "key_forbids")
    assert s.local.requests == []
    assert post(s.url, None, CHAT, origin="http://localhost:3000").status_code == 200


def test_the_limits_of_the_configuration_follow_a_reload(desk: Desk) -> None:
    key, own = desk.key(), desk.key("with-its-own", requests_per_minute=1000)
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        settings = config(local.url, cloud.url, keys=desk.section)
        box: dict[str, Any] = {}
        with reloadable(settings, box) as (url, router, proxy):
            assert "x-ratelimit-limit-requests" not in post(url, key).headers
            for part in (router, proxy):
                part(hot.part(hot.applied(box["config"], {"limits": {"requests_per_minute": 500}})))
            until(lambda: post(url, key).headers.get("x-ratelimit-limit-requests") == "500")
            assert post(url, own).headers["x-ratelimit-limit-requests"] == "1000"
