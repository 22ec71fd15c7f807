"""What strangers post: a 4xx in OpenAI's shape, never a 500, and not a word of it in any log."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Scene
from tests.support.rawclient import connect

CANARY = "xyzzy-canary"
CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
HELLO = [{"role": "user", "content": CANARY}]
BASE: dict[str, Any] = {"model": "auto", "messages": HELLO}
LIMIT = 256 * 1024
both = pytest.mark.parametrize("path", [CHAT, "/v1/route"], ids=["chat", "route"])


def body(**changes: Any) -> bytes:
    return json.dumps(BASE | changes).encode()


def spliced(text: str, **changes: Any) -> bytes:
    """A body with `text` in the place of the string "HERE"."""
    return body(**changes).replace(b'"HERE"', text.encode())


def allowed(name: str) -> dict[str, Any]:
    function = {"type": "function", "function": {"name": name}}
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function]}}


def tool(parameters: Any) -> list[Any]:
    return [{"type": "function", "function": {"name": "f", "parameters": parameters}}]


@pytest.fixture
def quiet(
    scene: Callable[..., Scene], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[Scene]:
    """A scene that asserts at its end: no lane was reached, and the canary is in no log and on no terminal."""
    with caplog.at_level(logging.DEBUG):
        running = scene(server={"max_body_bytes": LIMIT})
        yield running
        assert not running.local.requests
        assert not running.cloud.connections
        printed = capfd.readouterr()
        logged = [record.getMessage() for record in caplog.get_records("call")]
        assert CANARY not in "".join([*logged, printed.out, printed.err])


def post(s: Scene, content: Any, path: str = CHAT, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.post(
        s.url + path, content=content, headers=JSON if headers is None else headers, timeout=60
    )


def assert_refused(answer: httpx2.Response, status: int, code: str, param: str | None = None) -> None:
    """OpenAI's error body, with the stable code, and without what was sent."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    assert CANARY not in answer.text
    assert answer.headers["content-type"].startswith("application/json")


INVALID = [
    pytest.param(b"", None, id="empty"),
    pytest.param(f'{{"model": "{CANARY}"'.encode(), None, id="malformed"),
    pytest.param(body(model="HERE").replace(b"HERE", b"\xff\xfe"), None, id="invalid-utf-8"),
    pytest.param(spliced(r'"\ud800"', messages=[{"role": "user", "content": "HERE"}]), None, id="lone-surrogate"),
    pytest.param(spliced("9" * 5000, n="HERE"), None, id="5000-digits"),
    pytest.param(spliced("NaN", temperature="HERE"), "temperature", id="nan"),
    pytest.param(spliced("1e400", temperature="HERE"), "temperature", id="1e400"),
    pytest.param(spliced("Infinity", tools=tool({"maximum": "HERE"})), "tools[0].function.parameters",
                 id="infinity-in-a-tool"),
    pytest.param(b'{"model": "auto"}', "messages", id="no-messages"),
    pytest.param(body(messages=CANARY), "messages", id="messages-a-string"),
    pytest.param(body(messages=[{"role": "user", "content": 5}]), "messages[0].content", id="content-a-number"),
    pytest.param(body(temperature=CANARY), "temperature", id="temperature-a-word"),
    pytest.param(body(functions=[{"name": CANARY}]), "functions", id="legacy-functions"),
    pytest.param(body(tool_choice="required"), "tool_choice", id="tool-choice-without-tools"),
    pytest.param(body(tool_choice="required", tools=[]), "tool_choice", id="tool-choice-with-no-tool"),
    pytest.param(body(tool_choice=allowed(CANARY), tools=tool({})), "tool_choice.allowed_tools.tools",
                 id="nobody-allowed"),
    pytest.param(body(tool_choice=allowed("f") | {"allowed_tools": {"mode": CANARY}}, tools=tool({})),
                 "tool_choice.allowed_tools.mode", id="no-mode-of-allowing"),
    pytest.param(body(tools=tool({"type": CANARY})), "tools[0].function.parameters", id="broken-tool-schema"),
    pytest.param(body(tools=tool({"pattern": "("})), "tools[0].function.parameters", id="broken-pattern"),
    pytest.param(body(tools=tool({"$ref": "file:///etc/passwd"})), "tools[0].function.parameters", id="file-ref"),
    pytest.param(body(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 5}}}),
                 "response_format.json_schema.schema", id="broken-answer-schema"),
]  # fmt: skip


@both
@pytest.mark.parametrize(("content", "param"), INVALID)
def test_a_body_that_is_no_chat_request_is_400_with_the_field(
    quiet: Scene, path: str, content: bytes, param: str | None
) -> None:
    code = "invalid_json" if param is None else "invalid_request"
    assert_refused(post(quiet, content, path), 400, code, param)


@both
@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{"role": CANARY, "content": "x"}], id="unknown-role"),
        pytest.param([{"role": "user", "content": [{"type": CANARY}]}], id="unknown-part"),
    ],
)
def test_a_tag_nobody_knows_is_refused_without_being_repeated(
    quiet: Scene, path: str, messages: list[Any]
) -> None:
    answer = post(quiet, body(messages=messages), path)
    assert answer.status_code == 400
    assert CANARY not in answer.text


@both
def test_an_unknown_model_is_404(quiet: Scene, path: str) -> None:
    assert_refused(post(quiet, body(model="gpt-nobody"), path), 404, "model_not_found", "model")


def test_a_remote_reference_is_refused_and_never_fetched(quiet: Scene) -> None:
    url = f"{quiet.cloud.url}/schema.json"
    for reference in ({"$ref": url}, {"$schema": url}, {"properties": {"a": {"$dynamicRef": url}}}):
        assert_refused(
            post(quiet, body(tools=tool(reference))), 400, "invalid_request", "tools[0].function.parameters"
        )


@both
def test_a_prompt_too_long_for_every_lane_is_400_in_openais_words(
    scene: Callable[..., Scene], path: str
) -> None:
    s = scene(signals={"deadline_s": 120})
    messages = [{"role": "user", "content": "word " * 210_000}]
    assert_refused(post(s, body(messages=messages), path), 400, "context_length_exceeded")
    assert not s.local.requests
    assert not s.cloud.connections


def test_an_answer_too_long_for_every_lane_is_400_in_openais_words(quiet: Scene) -> None:
    assert_refused(post(quiet, body(max_tokens=1_000_000)), 400, "context_length_exceeded")


def test_what_no_lane_can_do_is_400(quiet: Scene) -> None:
    audio = {"type": "input_audio", "input_audio": {"data": CANARY, "format": "wav"}}
    answer = post(quiet, body(messages=[{"role": "user", "content": [audio]}]))
    assert answer.status_code in (400, 403)
    assert answer.json()["error"]["code"] in ("no_lane_able", "egress_denied")


# Limits of the edge.


def in_pieces(total: int) -> Iterator[bytes]:
    piece = CANARY.encode() * 100
    for _ in range(total // len(piece) + 1):
        yield piece


@both
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_body_over_the_limit_is_413(quiet: Scene, path: str, declared: bool) -> None:
    content: Any = b"".join(in_pieces(LIMIT)) if declared else in_pieces(LIMIT)
    assert_refused(post(quiet, content, path), 413, "body_too_large")


@both
def test_a_body_at_the_limit_is_read(quiet: Scene, path: str) -> None:
    padded = body(temperature=CANARY)
    assert_refused(
        post(quiet, padded + b" " * (LIMIT - len(padded)), path), 400, "invalid_request", "temperature"
    )


@both
def test_a_body_that_does_not_arrive_is_408(scene: Callable[..., Scene], path: str) -> None:
    s = scene(server={"body_timeout_s": 0.2})
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
    with connect(s.url) as sock:
        sock.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer
    assert httpx2.get(f"{s.url}/healthz", timeout=60).status_code == 200


@both
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-content-type"),
        pytest.param({"content-type": "text/plain"}, id="text"),
        pytest.param({"content-type": "application/x-www-form-urlencoded"}, id="form"),
        pytest.param({"content-type": "application/jsonp"}, id="nearly-json"),
        pytest.param(JSON | {"content-encoding": "gzip"}, id="gzip"),
        pytest.param(JSON | {"content-encoding": "identity, deflate"}, id="deflate"),
    ],
)
def test_what_is_not_plain_json_is_415(quiet: Scene, path: str, headers: dict[str, str]) -> None:
    assert_refused(post(quiet, body(), path, headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_may_be_declared_in_any_case_and_with_its_charset(quiet: Scene, kind: str) -> None:
    assert_refused(post(quiet, b"{", headers={"content-type": kind}), 400, "invalid_json")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/completions/x",
        "/v1/chat/completions/x",
        "/invocations",
        "/pause",
        "/update_weights",
        "/metrics/x",
        "/docs",
        "/v1//chat/completions",
        "/%2e%2e/etc/passwd",
        "/v1/models/",
    ],
)
def test_every_other_path_is_404(quiet: Scene, path: str) -> None:
    for answer in (
        post(quiet, body(), path),
        httpx2.get(quiet.url + path, headers={"host": "evil.example"}, timeout=60),
    ):
        assert_refused(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", CHAT),
        ("PUT", CHAT),
        ("DELETE", "/v1/route"),
        ("POST", "/v1/models"),
        ("POST", "/v1/models/auto"),
        ("POST", "/healthz"),
    ],
)
def test_another_method_is_405_and_says_which_is_right(quiet: Scene, method: str, path: str) -> None:
    answer = httpx2.request(method, quiet.url + path, timeout=60)
    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] in ("POST", "GET")


# Headers.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-pointsman-sensitivity", CANARY),
        ("x-pointsman-sensitivity", ""),
        ("x-pointsman-prefer", CANARY),
        ("x-pointsman-prefer", "\u00e9"),
    ],
)
def test_a_header_that_means_nothing_is_400_by_its_name(quiet: Scene, name: str, value: str) -> None:
    headers: Any = JSON | {name: value.encode("latin-1")}
    assert_refused(post(quiet, body(), headers=headers), 400, "invalid_request", name)


def test_of_two_sensitivity_headers_the_stricter_counts_or_both_are_refused(
    scene: Callable[..., Scene],
) -> None:
    headers: Any = [
        *JSON.items(),
        ("x-pointsman-sensitivity", "public"),
        ("x-pointsman-sensitivity", "confidential"),
    ]
    answer = post(scene(), body(), "/v1/route", headers)
    assert answer.status_code == 400 or answer.json()["permit"]["class"] == "confidential"


# Requests that are in order, and lanes that are confused by them.

BROKEN_HISTORY = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": f'{{"{CANARY}": '}}]},
    {"role": "tool", "tool_call_id": "1", "content": "failed"},
]  # fmt: skip


def test_history_with_broken_arguments_is_no_500(scene: Callable[..., Scene]) -> None:
    answer = post(scene(), body(model="cloud-anthropic", messages=BROKEN_HISTORY))
    assert answer.status_code < 500
