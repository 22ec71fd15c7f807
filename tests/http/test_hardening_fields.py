"""Rows I5 and I9 to I14: what a request may carry to a lane, byte for byte, and what it never may."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute

from models.scout.prescout import PreScout
from serve.ingress import http_app
from serve.lanes.load import LaneLoad
from serve.request import view_of
from serve.router import Router
from serve.signals.gather import Judges
from serve.wire.openai_chat import parse
from tests.http.conftest import Scene
from tests.support.rawclient import connect
from tests.support.record import Request
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
CANARY = "xyzzy-canary"
LANES = ["local-general", "cloud-openai", "cloud-anthropic"]


@pytest.fixture(scope="module")
def whole() -> Iterator[Scene]:
    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream())
        url = stack.enter_context(serving(config(local.url, cloud.url)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


@pytest.fixture
def running(whole: Scene) -> Scene:
    """One scene for the whole file, with nothing on its record yet."""
    whole.local.clear()
    whole.cloud.clear()
    return whole


def body(content: Any = "hello", model: str = "auto", **changes: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}]} | changes).encode()


def post(s: Scene, content: bytes, **headers: str) -> httpx2.Response:
    return httpx2.post(s.url + CHAT, content=content, headers=JSON | headers, timeout=30)


def reached(s: Scene) -> list[Request]:
    return [*s.local.requests, *s.cloud.requests]


def refused(answer: httpx2.Response, param: str | None, status: int = 400) -> str:
    """The error's message. It says where, and not what was sent."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert CANARY not in answer.text
    message: str = error["message"]
    return message


# I5: what was scanned is what is sent.


ODD = [
    pytest.param('"a\\u0000b"', id="nul"),
    pytest.param('"\\ud83d\\ude00"', id="an-escaped-pair"),
    pytest.param('"\\u202e\\u200b\\ufeff"', id="invisible"),
    pytest.param('"\\uffff\\u0085\\u2028"', id="no-characters-and-odd-line-ends"),
    pytest.param('"\\/\\b\\f\\"\\\\"', id="every-escape"),
    pytest.param('"a", "content": "b"', id="a-key-twice"),
    pytest.param('"a", "\\u0063ontent": "b"', id="a-key-twice-and-escaped"),
]


@pytest.mark.parametrize("lane", ["local-general", "cloud-openai"])
@pytest.mark.parametrize("text", ODD)
def test_a_lane_gets_the_very_text_that_was_scanned(running: Scene, text: str, lane: str) -> None:
    """The outgoing bytes are written anew from the one reading that the signals saw: never passed through."""
    raw = body("HERE", model=lane).replace(b'"HERE"', text.encode())
    assert post(running, raw).status_code == 200
    sent = reached(running)[-1]
    scanned = [leaf.text for leaf in view_of(parse(raw)).leaves if leaf.path == "messages[0].content"]
    assert [sent.json["messages"][0]["content"]] == scanned
    assert json.dumps(sent.json["messages"][0]["content"], ensure_ascii=False).encode() in sent.body
    assert sent.body.count(b'"content"') == 1


@pytest.mark.parametrize(
    "arguments", ['{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 5000, "9" * 5000]
)
@pytest.mark.parametrize("lane", LANES)
def test_arguments_that_are_no_json_are_text_to_every_lane(running: Scene, arguments: str, lane: str) -> None:
    """What an earlier answer botched is history, not a reason to fail: NaN, lone surrogates, any depth."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    history = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "failed"},
    ]
    answer = post(running, json.dumps({"model": lane, "messages": history}).encode())
    assert answer.status_code == 200, answer.text


# I9: headers.

ALLOWED = {"accept", "accept-encoding", "anthropic-version", "authorization", "connection", "content-length",
           "content-type", "host", "user-agent", "x-api-key"}  # fmt: skip
NASTY = ["a\r\nx-evil: 1", "a\nx-evil: 1", "a\x00b", "\u00e9\u4e2d", "a\u2028b", "%0d%0ax-evil:1"]


@pytest.mark.parametrize("lane", LANES)
def test_only_headers_of_our_own_reach_a_lane(running: Scene, lane: str) -> None:
    """Cookies, keys, forwarding and tracing headers of the client stay at the edge: an allow-list, not a block-list."""
    theirs = {
        "authorization": f"Bearer {CANARY}", "x-api-key": CANARY, "cookie": CANARY, "proxy-authorization": CANARY,
        "x-forwarded-for": CANARY, "x-forwarded-host": CANARY, "openai-organization": CANARY, "x-request-id": CANARY,
        "anthropic-beta": CANARY, "traceparent": CANARY, "user-agent": CANARY, "accept-language": CANARY,
        "x-stainless-os": CANARY, "idempotency-key": CANARY, "x-evil": CANARY,
    }  # fmt: skip
    assert post(running, body(model=lane), **theirs).status_code == 200
    for request in reached(running):
        names = {name for name in request.headers if not name.startswith("x-stainless-")}
        assert names <= ALLOWED, names - ALLOWED
        assert CANARY not in str(request.headers)


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("field", ["user", "model", "tool", "stop", "metadata"])
def test_line_ends_in_a_field_inject_no_header(running: Scene, field: str, value: str) -> None:
    """Row I9: model name, user id and every other text stay inside the JSON body, or are refused."""
    fields: dict[str, dict[str, Any]] = {
        "user": {"user": value},
        "model": {"model": value},
        "tool": {"tools": [{"type": "function", "function": {"name": value}}]},
        "stop": {"stop": value},
        "metadata": {"metadata": {value: value}},
    }
    answer = post(running, body(**fields[field]))
    assert answer.status_code == {"model": 404, "tool": 400}.get(field, 200)
    assert "x-evil" not in answer.headers
    for request in reached(running):
        assert "x-evil" not in request.headers


@pytest.mark.parametrize("name", ["x-pointsman-prefer", "x-pointsman-sensitivity", "x-other"])
@pytest.mark.parametrize("value", [b"cloud\x00", b"\xff\xfe", b"cloud\rx-evil: 1", b"cloud\r\n x-evil: 1"])
def test_header_values_that_are_no_text_are_refused_or_ignored(
    running: Scene, name: str, value: bytes
) -> None:
    """4xx for one that steers; one that nobody reads changes nothing, and none goes on."""
    raw = body()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
    with connect(running.url) as sock:
        sock.sendall(
            head.encode() + f"content-length: {len(raw)}\r\n{name}: ".encode() + value + b"\r\n\r\n" + raw
        )
        got = sock.makefile("rb").read()
    status = int(got.split(b" ")[1])
    assert 400 <= status < 500 or (name == "x-other" and status == 200)
    for request in reached(running):
        assert "x-evil" not in request.headers


# I10: fields that would steer a lane's server.

STEERING: dict[str, Any] = {
    "api_base": "http://evil.example", "base_url": "http://evil.example", "api_key": CANARY, "api_version": CANARY,
    "extra_headers": {"authorization": CANARY}, "extra_body": {"echo": CANARY}, "extra_query": {"a": CANARY},
    "custom_llm_provider": CANARY, "chat_template": "{{ cycler.__init__.__globals__ }}",
    "chat_template_kwargs": {"enable_thinking": False}, "guided_json": {"a": CANARY}, "guided_regex": "(a+)+$",
    "guided_grammar": CANARY, "guided_choice": [CANARY], "guided_decoding_backend": CANARY,
    "structured_outputs": {"regex": CANARY}, "structural_tag": CANARY, "prompt_embeds": CANARY,
    "mm_processor_kwargs": {"a": CANARY}, "media_io_kwargs": {"a": CANARY}, "lora": CANARY, "lora_request": CANARY,
    "vllm_xargs": {"a": CANARY}, "kv_transfer_params": {"remote_host": CANARY}, "logits_processors": [CANARY],
    "best_of": 16384, "use_beam_search": True, "prompt_logprobs": 10**6, "min_tokens": 10**6, "ignore_eos": True,
    "priority": -(10**9), "cache_salt": CANARY, "request_id": CANARY, "documents": [{"a": CANARY}],
    "add_generation_prompt": False, "continue_final_message": True, "echo": True, "bad_words": [CANARY],
    "stop_token_ids": [1], "allowed_token_ids": [1], "skip_special_tokens": False, "truncate_prompt_tokens": 1,
    "return_token_ids": True, "return_tokens_as_token_ids": True, "logit_bias": {"1": 100}, "store": True,
    "metadata": {"a": CANARY}, "web_search_options": {}, "service_tier": "priority", "modalities": ["audio"],
    "prediction": {"type": "content", "content": CANARY}, "mcp_servers": [{"url": CANARY}], "container": CANARY,
    "model_list": [CANARY], "fallbacks": [CANARY], "mock_response": CANARY, "timeout": 0, "num_retries": 10**6,
}  # fmt: skip


@pytest.mark.parametrize("lane", LANES)
def test_a_field_nobody_allowed_is_never_forwarded(running: Scene, lane: str) -> None:
    """0 forwarded, at the top and inside messages: a request has the fields of `ChatRequest` and no others."""
    message = {"role": "user", "content": "hello"} | STEERING
    assert post(running, body(model=lane, **STEERING)).status_code == 200
    assert post(running, json.dumps({"model": lane, "messages": [message]}).encode()).status_code == 200
    for request in reached(running):
        assert not STEERING.keys() & request.json.keys()
        assert not STEERING.keys() & request.json["messages"][0].keys()
        assert CANARY.encode() not in request.body


# I11: numbers that cost.


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        pytest.param({"n": 9}, "n", id="n-9"),
        pytest.param({"n": 16384}, "n", id="n-16384"),
        pytest.param({"n": 0}, "n", id="n-0"),
        pytest.param({"n": -1}, "n", id="n-negative"),
        pytest.param({"n": 1.5}, "n", id="n-a-fraction"),
        pytest.param({"logprobs": True, "top_logprobs": 21}, "top_logprobs", id="top-logprobs-21"),
        pytest.param({"logprobs": True, "top_logprobs": -1}, "top_logprobs", id="top-logprobs-negative"),
        pytest.param({"logprobs": 5}, "logprobs", id="logprobs-a-number"),
        pytest.param({"max_tokens": 0}, "max_tokens", id="max-tokens-0"),
        pytest.param({"max_tokens": -1}, "max_tokens", id="max-tokens-negative"),
        pytest.param({"max_tokens": 2**63}, "max_tokens", id="max-tokens-2-to-the-63"),
        pytest.param({"max_tokens": 1_000_001}, "max_tokens", id="max-tokens-over-a-million"),
        pytest.param({"max_completion_tokens": 10**30}, "max_completion_tokens", id="a-bigint"),
        pytest.param({"max_tokens": 1e30}, "max_tokens", id="a-float"),
        pytest.param({"max_tokens": 1_000_000}, None, id="more-than-every-lane-holds"),
        pytest.param({"seed": 2**63}, "seed", id="seed"),
        pytest.param({"temperature": 1e30}, "temperature", id="temperature"),
        pytest.param({"stop": [""]}, "stop[0]", id="a-stop-that-always-stops"),
        pytest.param({"stop": ["a"] * 5}, "stop", id="five-stops"),
        pytest.param({"stop": "a" * 1025}, "stop", id="a-long-stop"),
    ],
)
def test_a_number_beyond_reason_is_400_by_its_name(
    running: Scene, changes: dict[str, Any], param: str | None
) -> None:
    """Refused before any lane: what a request may cost is bounded by what passes here."""
    refused(post(running, body(**changes)), param)
    assert not reached(running)


# I12: schemas as bombs.


def tool(schema: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


BOMBS = [
    pytest.param({"pattern": "("}, id="a-broken-pattern"),
    pytest.param({"pattern": "(?<=a)b"}, id="a-pattern-that-must-backtrack"),
    pytest.param({"pattern": "(a{1000}){1000}"}, id="a-pattern-that-multiplies"),
    pytest.param({"pattern": "a{1000000}"}, id="a-pattern-a-million-long"),
    pytest.param({"patternProperties": {"(x{500}){500}": {}}}, id="a-pattern-as-a-key"),
    pytest.param({"properties": {str(i): {"pattern": f"a{i}"} for i in range(201)}}, id="201-patterns"),
    pytest.param({"pattern": "a" * 20_001}, id="a-pattern-of-20001-characters"),
    pytest.param({"minItems": 10**9}, id="a-billion-items"),
    pytest.param({"properties": {"a": {"minLength": 10_001}}}, id="a-string-of-10001"),
    pytest.param({"minProperties": 1e18}, id="properties-without-end"),
    pytest.param({"enum": ["x" * 100] * 6000}, id="600-kb-of-enum"),
    pytest.param({"$defs": {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)},
                  "$ref": "#/$defs/a0"}, id="references-that-double"),
    pytest.param({"$ref": "https://evil.example/schema.json"}, id="a-remote-reference"),
    pytest.param(nested(40), id="80-levels"),
    pytest.param({"type": ["object"] * 3}, id="a-type-three-times"),
    pytest.param({"pattern": 5}, id="a-pattern-that-is-a-number"),
    pytest.param({"properties": {"a": {"pattern": ["a"]}}}, id="a-pattern-that-is-a-list"),
]  # fmt: skip


@pytest.mark.parametrize("schema", BOMBS)
def test_a_schema_bomb_is_refused_before_any_lane(running: Scene, schema: Any) -> None:
    """As a tool's parameters and as the answer's schema: 400 by its field, no lane sees it, the next is served."""
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    refused(post(running, body(**tool(schema))), "tools[0].function.parameters")
    refused(post(running, body(response_format=shape)), "response_format.json_schema.schema")
    assert not reached(running)
    assert post(running, body()).status_code == 200


def test_a_hundred_small_schemas_cannot_be_a_bomb_together(running: Scene) -> None:
    """The caps are for the request and not for the schema: 100 tools of 10 KB are refused like one of 1 MB."""
    tools = [
        {"type": "function", "function": {"name": f"f{i}", "parameters": {"enum": ["x" * 100] * 100}}}
        for i in range(100)
    ]
    answer = post(running, body(tools=tools))
    assert "characters together" in answer.json()["error"]["message"]
    assert not reached(running)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"$ref": "#"}, id="itself"),
        pytest.param({"properties": {"child": {"$ref": "#"}}}, id="a-tree"),
        pytest.param(
            {"properties": {"mail": {"type": "string", "pattern": r"^[\w.+-]+@[\w-]+\.[\w.]+$"}}}, id="mail"
        ),
        pytest.param(
            {"properties": {"pattern": {"type": "string"}, "minItems": {"type": "integer"}}}, id="names"
        ),
    ],
)
def test_an_ordinary_schema_is_no_bomb(running: Scene, schema: Any) -> None:
    answer = post(running, body(tool_choice="none", **tool(schema)))
    assert answer.status_code == 200, answer.text
    assert len(reached(running)) == 1


# I13: media.

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def picture(url: str) -> list[Any]:
    return [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://localhost:PORT/x.png",
    "file:///etc/passwd", "FILE:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:PORT/_x", "//127.0.0.1:PORT/",
    "https://user:secret@127.0.0.1:PORT/", "https:\\\\127.0.0.1:PORT\\x", "https:///x", "https://", "", "x",
    " https://a.example/x.png", "https://a.example/x y.png", "https://a.example/\u00e9", "https://" + "a" * 9000,
    "data:text/html;base64,PGI+", "data:image/svg+xml;base64,PHN2Zz4=", "data:image/png,raw", "data:,",
    "data:image/png;base64,", "data:image/png;base64,not base64!", "DATA:text/plain,x", "javascript:alert(1)",
    "blob:https://a.example/1", "unix:///var/run/docker.sock", "jar:http://127.0.0.1:PORT!/",
]  # fmt: skip


@pytest.mark.parametrize("url", FORBIDDEN)
def test_an_image_address_that_is_neither_https_nor_data_is_refused_and_never_opened(
    running: Scene, url: str
) -> None:
    """400 by its field; nobody connects to the address, ours or a lane's."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        url = url.replace("PORT", str(trap.getsockname()[1]))
        answer = post(running, body(picture(url), model="cloud-openai"))
        refused(answer, "messages[0].content[1].image_url.url")
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert not reached(running)


def test_an_https_image_is_handed_over_or_refused_and_never_fetched_here(running: Scene) -> None:
    """0 sockets for media: the address of a listener is allowed in form, and the listener hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        url = f"https://127.0.0.1:{trap.getsockname()[1]}/x.png"
        for lane in ["auto", *LANES]:
            post(running, body(picture(url), model=lane))
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_a_lane_on_the_premises_gets_images_by_value_only(scene: Callable[..., Scene]) -> None:
    """A server inside the network would fetch an address for a stranger: it is offered data: URLs alone."""
    s = scene()
    lanes = [lane.model_dump() for lane in config(s.local.url, s.cloud.url).lanes]
    for lane in lanes:
        lane["capabilities"] = {*lane["capabilities"], "vision"}
    s = scene(lanes=lanes)
    url = f"{s.url}{CHAT}"
    by_value = httpx2.post(url, content=body(picture(PIXEL), model="local-general"), headers=JSON, timeout=30)
    assert by_value.status_code == 200, by_value.text
    by_address = httpx2.post(
        url, content=body(picture("https://a.example/x.png"), model="local-general"), headers=JSON, timeout=30
    )
    assert by_address.status_code == 400, by_address.text
    assert "data: URLs" in by_address.json()["error"]["message"]


def test_an_image_over_the_limit_is_refused(running: Scene) -> None:
    """A data: URL of more than 7,000,000 characters is 400; 50 MB are 413 before anything reads them."""
    large = "data:image/png;base64," + "A" * 7_000_000
    assert "7,000,000" in refused(post(running, body(picture(large))), "messages[0].content[1].image_url.url")
    assert post(running, body(picture(large * 7))).status_code == 413


# I14: side doors.

DOORS = [
    "/invocations", "/pause", "/resume", "/is_paused", "/sleep", "/wake_up", "/is_sleeping", "/update_weights",
    "/init_weight_transfer_engine", "/scale_elastic_ep", "/is_scaling_elastic_ep", "/reset_prefix_cache", "/load",
    "/reset_mm_cache", "/collective_rpc", "/server_info", "/start_profile", "/stop_profile", "/tokenize", "/detokenize",
    "/tokenizer_info", "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/completions/render",
    "/v1/rerank", "/v1/score", "/pooling", "/classify", "/score", "/rerank",
    "/v1/audio/transcriptions",
    "/v1/audio/translations", "/inference/v1/generate", "/abort_requests", "/metrics/", "/version", "/ping", "/health",
    "/docs", "/redoc", "/api/jobs/", "/api/serve/applications/", "/api/version", "/debug", "/.env", "/admin",
    "/v1/chat/completions/", "/v1/chat/completions/render", "/V1/CHAT/COMPLETIONS", "/v1/../invocations",
    "/v1/chat/completions;a=b", "/v1/chat/completions%2f..", "//v1/chat/completions", "/v1/models/", "/healthz/x",
]  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_side_door_is_404(running: Scene, door: str, method: str) -> None:
    """Nothing but the paths of the document answers; no lane hears of the attempt."""
    raw = body()
    head = f"{method} {door} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
    with connect(running.url) as sock:
        sock.sendall(head.encode() + f"content-length: {len(raw)}\r\n\r\n".encode() + raw)
        got = sock.makefile("rb").read()
    assert got.startswith(b"HTTP/1.1 404 "), got[:100]
    assert not reached(running)


def test_the_document_names_every_path_that_is_served(running: Scene) -> None:
    """/openapi.json and the routes cannot differ: what is not in the document is a side door."""
    documented = httpx2.get(f"{running.url}/openapi.json", timeout=60).json()["paths"].keys()
    limits = (Path(__file__).parents[2] / "docs/limits.md").read_text()
    listed = limits.partition("These paths answer:")[2].partition("All others are 404")[0]
    settings = config("http://127.0.0.1:9", "http://127.0.0.1:9")
    app = http_app(Router(settings, Judges(PreScout.load(), None), {}, LaneLoad(settings)))
    served = {route.path_format for route in app.routes if isinstance(route, APIRoute)}
    assert all(isinstance(route, APIRoute) for route in app.routes)
    assert served == {*documented, "/openapi.json"}
    assert served == set(re.findall("`(/.+?)`", listed))
