"""Faults of lanes: what is tried next, what the client sees, and what it never sees."""

from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.http.conftest import Scene

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
SECRET: list[Any] = [{"role": "user", "content": "My SSN is 536-90-4399, please fill in the form"}]
QUICK = {"dispatch": {"first_token_s": 2, "idle_s": 2, "unary_s": 2, "deadline_s": 30, "cooldown_s": 1}}
BEFORE_THE_FIRST_BYTE = [
    "500",
    "503",
    "429",
    "401",
    "hang",
    "die_before_first",
    "empty_stream",
    "slow_first_30000",
]


@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_BYTE)
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_lane_that_fails_before_the_first_byte_is_invisible(
    scene: Callable[..., Scene], fault: str, stream: bool
) -> None:
    s = scene(models={"local-general": fault, "local-tools": fault}, **QUICK)
    raw: Any = s.ask.chat.completions.with_raw_response.create(model="auto", messages=HELLO, stream=stream)
    answer = raw.parse()
    if stream:
        text = "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
    else:
        text = answer.choices[0].message.content
    assert "upstream" in text
    assert raw.headers["x-pointsman-lane"].startswith("cloud-")
    assert int(raw.headers["x-pointsman-attempts"]) >= 2


def test_bad_json_from_a_lane_is_a_fallback_not_a_crash(scene: Callable[..., Scene]) -> None:
    s = scene(models={"local-general": "bad_json"})
    raw = s.ask.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    assert raw.headers["x-pointsman-trail"].startswith("local-general=protocol_error")


def test_a_lane_that_finds_the_request_too_long_hands_it_on(scene: Callable[..., Scene]) -> None:
    s = scene(models={"local-general": "400_context"})
    raw = s.ask.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    assert raw.headers["x-pointsman-trail"] == "local-general=rejected, cloud-openai=ok"
    with pytest.raises(openai.BadRequestError) as error:
        s.ask.chat.completions.create(model="local-general", messages=HELLO)
    assert error.value.code == "request_rejected"


@pytest.mark.parametrize("fault", ["500", "429", "die_before_first"])
def test_a_cloud_that_is_down_or_rate_limited_falls_back_to_local(
    scene: Callable[..., Scene], fault: str
) -> None:
    s = scene(models={"cloud-openai": fault, "cloud-anthropic": fault}, **QUICK)
    raw = s.ask.chat.completions.with_raw_response.create(
        model="auto", messages=HELLO, extra_headers={"x-pointsman-prefer": "cloud"}
    )
    assert raw.headers["x-pointsman-lane"] == "local-general"


@pytest.mark.parametrize("pin", ["cloud-openai", "cloud-anthropic"])
@pytest.mark.parametrize("k", [1, 3])
def test_a_stream_cut_after_the_first_byte_ends_in_one_error_event(
    scene: Callable[..., Scene], pin: str, k: int
) -> None:
    s = scene(models={"cloud-openai": f"err_in_stream_{k}", "cloud-anthropic": f"err_in_stream_{k}"}, **QUICK)
    seen: list[str] = []
    with pytest.raises(openai.APIError) as error:
        seen.extend(
            c.choices[0].delta.content or ""
            for c in s.ask.chat.completions.create(model=pin, messages=HELLO, stream=True)
            if c.choices
        )
    assert error.value.code == "upstream_interrupted"
    assert len(s.cloud.requests) == 1
    assert not s.local.requests


def test_a_gap_in_a_stream_is_an_error_after_the_idle_time_out(scene: Callable[..., Scene]) -> None:
    s = scene(
        models={"local-general": "slow_second_chunk_60000"}, dispatch={"first_token_s": 30, "idle_s": 0.5}
    )
    with pytest.raises(openai.APIError):
        list(s.ask.chat.completions.create(model="auto", messages=HELLO, stream=True))


def test_all_lanes_down_is_503_with_retry_after(scene: Callable[..., Scene]) -> None:
    s = scene(
        models=dict.fromkeys(("local-general", "local-tools", "cloud-openai", "cloud-anthropic"), "503")
    )
    with pytest.raises(openai.APIStatusError) as error:
        s.ask.chat.completions.create(model="auto", messages=HELLO)
    assert error.value.status_code == 503
    assert error.value.code == "no_lane_available"
    assert int(error.value.response.headers["retry-after"]) >= 1
    assert "local-general=overloaded" in error.value.response.headers["x-pointsman-trail"]


def test_an_upstream_that_echoes_the_prompt_in_its_error_is_not_quoted(scene: Callable[..., Scene]) -> None:
    s = scene(
        models=dict.fromkeys(
            ("local-general", "local-tools", "cloud-openai", "cloud-anthropic"), "echo_secrets"
        )
    )
    with pytest.raises(openai.APIStatusError) as error:
        s.ask.chat.completions.create(model="auto", messages=[{"role": "user", "content": "xyzzy-canary"}])
    assert "xyzzy-canary" not in error.value.response.text


@pytest.mark.parametrize("fault", ["500", "hang", "die_before_first", "429", "empty_stream", "bad_json"])
def test_confidential_data_never_reaches_the_cloud_when_every_local_lane_fails(
    scene: Callable[..., Scene], fault: str
) -> None:
    s = scene(models={"local-general": fault, "local-tools": fault}, **QUICK)
    with pytest.raises(openai.APIStatusError) as error:
        s.ask.chat.completions.create(model="auto", messages=SECRET)
    assert error.value.status_code in (502, 503)
    assert not s.cloud.received_bytes
    assert not s.cloud.connections


@pytest.mark.parametrize("how", ["pin", "header", "prefix"])
def test_no_wish_sends_confidential_data_to_the_cloud(scene: Callable[..., Scene], how: str) -> None:
    s = scene()
    messages: list[Any] = [
        {"role": "user", "content": ("[cloud] " if how == "prefix" else "") + SECRET[0]["content"]}
    ]
    headers = {"x-pointsman-prefer": "cloud", "x-pointsman-sensitivity": "public"} if how == "header" else {}
    if how == "pin":
        with pytest.raises(openai.PermissionDeniedError) as error:
            s.ask.chat.completions.create(model="cloud-openai", messages=messages)
        assert error.value.code == "egress_denied"
    else:
        raw = s.ask.chat.completions.with_raw_response.create(
            model="auto", messages=messages, extra_headers=headers
        )
        assert raw.headers["x-pointsman-lane"] == "local-general"
        assert raw.headers["x-pointsman-reason"] == "sensitivity_confidential"
    assert not s.cloud.received_bytes


def test_a_prefix_steers_and_is_not_sent_on(scene: Callable[..., Scene]) -> None:
    s = scene()
    raw = s.ask.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "[tier3] hello there"}]
    )
    assert raw.headers["x-pointsman-lane"] == "cloud-anthropic"
    assert b"[tier3]" not in s.cloud.received_bytes


def test_a_client_that_leaves_frees_the_lane(scene: Callable[..., Scene]) -> None:
    s = scene(models={"local-general": "slow_chunks_50+long_400"})
    stream = s.ask.chat.completions.create(model="auto", messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    s.local.wait_until(lambda: s.local.requests[0].outcome == "client_closed")
    assert s.local.requests[0].chunks < 400
