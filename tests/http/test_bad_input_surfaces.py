"""What no client should send, by each API: a 4xx that names the field, nothing evaluated, and the lane goes on."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Scene
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
APIS = pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES], ids=["chat", "responses", "messages"])
LANES = pytest.mark.parametrize("lane", ["local-tools", "cloud-openai", "cloud-anthropic"])
EVERYWHERE = {CHAT: "messages", RESPONSES: "input", MESSAGES: "messages"}
DEPTH = 100_000


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        url = stack.enter_context(serving(config(local.url, cloud.url, signals={"deadline_s": 60})))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


@pytest.fixture
def s(shared: Scene) -> Iterator[Scene]:
    """A scene whose local lane answers after the test as before it."""
    shared.local.clear()
    shared.cloud.clear()
    yield shared
    assert post(shared, CHAT, body(CHAT, "hello")).status_code == 200


def body(path: str, content: Any, *, before: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """A request that says `content`, after what was `before`."""
    turns = [*(before or ()), {"role": "user", "content": content}]
    limit = {"max_tokens": 50} if path == MESSAGES else {}
    return {"model": "local-tools", EVERYWHERE[path]: turns} | limit | more


def tool(path: str, schema: Any, name: str = "f", description: str = "d") -> dict[str, Any]:
    if path == MESSAGES:
        return {"name": name, "description": description, "input_schema": schema}
    spec = {"name": name, "description": description, "parameters": schema}
    return {"type": "function"} | (spec if path == RESPONSES else {"function": spec})


def called(path: str, arguments: str) -> list[Any]:
    """A history with one call, and its result."""
    if path == RESPONSES:
        call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": arguments}
        return [
            {"role": "user", "content": "go"},
            call,
            {"type": "function_call_output", "call_id": "c1", "output": "x"},
        ]
    made = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [
        {"role": "user", "content": "go"},
        {"role": "assistant", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]


def post(s: Scene, path: str, content: dict[str, Any] | str) -> httpx2.Response:
    data = content if isinstance(content, str) else json.dumps(content)
    return httpx2.post(s.url + path, content=data, headers={"content-type": "application/json"}, timeout=120)


def refused(answer: httpx2.Response, field: str) -> None:
    """A 4xx whose words or `param` name the field."""
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()["error"]
    assert field in f"{error['param']} {error['message']}", error


CYCLES = [
    pytest.param({"properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}}, id="a-list"),
    pytest.param(
        {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}}, id="a-tree"),
]  # fmt: skip


@APIS
@LANES
@pytest.mark.parametrize("schema", CYCLES)
def test_a_schema_that_holds_itself_is_legal(s: Scene, path: str, lane: str, schema: Any) -> None:
    asked = body(path, "go", model=lane, tools=[tool(path, {"type": "object"} | schema)])
    assert post(s, path, asked).status_code == 200


@APIS
def test_a_schema_that_is_nothing_but_itself_ends(s: Scene, path: str) -> None:
    loop = {
        "type": "object",
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    }
    answer = post(s, path, body(path, "go", tools=[tool(path, loop)]))
    assert answer.status_code == 200 or 400 <= answer.status_code < 500


@APIS
def test_ten_thousand_tools_are_too_many(s: Scene, path: str) -> None:
    tools = [tool(path, {"type": "object"}, f"f{n}") for n in range(10_000)]
    refused(post(s, path, body(path, "go", tools=tools)), "tools")
    assert not s.local.requests


@APIS
def test_a_schema_of_any_depth_is_refused(s: Scene, path: str) -> None:
    asked = json.dumps(body(path, "go", tools=[tool(path, {"properties": "HERE"})]))
    deep = '{"a":' * DEPTH + "1" + "}" * DEPTH
    answer = post(s, path, asked.replace('"HERE"', deep))
    assert 400 <= answer.status_code < 500
    assert "levels" in answer.json()["error"]["message"]


@LANES
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_arguments_of_any_depth_are_text(s: Scene, path: str, lane: str) -> None:
    """Written by a model once, so they are history: told on as they were, or as text."""
    asked = body(path, "and now?", before=called(path, '{"a":' * DEPTH), model=lane)
    answer = post(s, path, asked)
    assert answer.status_code < 500, answer.text
    assert answer.status_code in (200, 400, 403)


def test_arguments_of_any_depth_as_an_object_are_refused(s: Scene) -> None:
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": "HERE"}
    before = [{"role": "user", "content": "go"}, {"role": "assistant", "content": [call]}]
    deep = '{"a":' * DEPTH + "1" + "}" * DEPTH
    asked = json.dumps(body(MESSAGES, "go", before=before)).replace('"HERE"', deep)
    answer = post(s, MESSAGES, asked)
    assert 400 <= answer.status_code < 500
    assert "levels" in answer.json()["error"]["message"]


@APIS
def test_code_is_only_text(s: Scene, path: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(mark)!r}).write_text('x')"
    asked = body(path, code, tools=[tool(path, {"type": "object", "default": {"a": code}}, description=code)])
    assert post(s, path, asked).status_code == 200
    if path != MESSAGES:
        assert post(s, path, body(path, code, before=called(path, code))).status_code == 200
    refused(post(s, path, body(path, "go", tools=[tool(path, {"type": "object"}, name=code)])), "name")
    assert not mark.exists()


def image(path: str, url: str) -> dict[str, Any]:
    if path == RESPONSES:
        return {"type": "input_image", "image_url": url}
    if path == CHAT:
        return {"type": "image_url", "image_url": {"url": url}}
    media, _, data = url.removeprefix("data:").partition(";base64,")
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}


@APIS
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("data:text/html;base64,PGI+", id="html"),
        pytest.param("data:image/svg+xml;base64,PHN2Zz4=", id="svg"),
        pytest.param("data:image/png;base64,this is no base64", id="no-base64"),
        pytest.param("data:image/png;base64,", id="empty"),
        pytest.param("data:image/png;base64,iVBORw0KGgo", id="not-padded"),
        pytest.param("data:image/png;base64,PGI+aGVsbG88L2I+", id="html-as-png"),
        pytest.param("data:image/jpeg;base64,iVBORw0KGgo=", id="png-as-jpeg"),
        pytest.param("data:image/gif;base64,/9j/4AAQSkZJRg==", id="jpeg-as-gif"),
        pytest.param("data:image/webp;base64,UklGRgAAAABBVkkg", id="avi-as-webp"),
        pytest.param("file:///etc/passwd", id="a-file"),
        pytest.param("http://127.0.0.1/a.png", id="no-tls"),
    ],
)
def test_an_image_that_is_none_is_refused(s: Scene, path: str, url: str) -> None:
    answer = post(s, path, body(path, [image(path, url)]))
    field = {CHAT: "image_url", RESPONSES: "image_url", MESSAGES: "source"}[path]
    refused(answer, f"{EVERYWHERE[path]}[0].content[0].{field}")


@APIS
def test_a_block_that_nobody_knows_is_refused(s: Scene, path: str) -> None:
    answer = post(s, path, body(path, [{"type": "hologram", "data": "x"}]))
    refused(answer, f"{EVERYWHERE[path]}[0].content[0]")
    assert "hologram" not in answer.text
