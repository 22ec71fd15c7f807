"""What the official SDKs find in the environment: it goes to no lane, and makes nothing log what was said."""

import logging
from collections.abc import Iterator

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from typer.testing import CliRunner

from serve.cli import app
from serve.config import EnvRef
from tests.support.serving import config, serving
from tests.support.upstream import ThreadedUpstream

OURS = {"THE_LANES_KEY": "sk-the-lanes-own", "POINTSMAN_API_KEY": "pm-the-callers-own"}
HEADERS = "Authorization: Bearer foreign\nX-Api-Key: foreign\nx-foreign: foreign"
OTHERS = {
    "OPENAI_CUSTOM_HEADERS": HEADERS,
    "OPENAI_ORG_ID": "foreign",
    "OPENAI_PROJECT_ID": "foreign",
    "OPENAI_API_KEY": "foreign",
    "OPENAI_ADMIN_KEY": "foreign",
    "OPENAI_WEBHOOK_SECRET": "foreign",
    "OPENAI_BASE_URL": "http://foreign.invalid",
    "ANTHROPIC_CUSTOM_HEADERS": HEADERS,
    "ANTHROPIC_API_KEY": "foreign",
    "ANTHROPIC_AUTH_TOKEN": "foreign",
    "ANTHROPIC_PROFILE": "foreign",
    "ANTHROPIC_BASE_URL": "http://foreign.invalid",
    "ANTHROPIC_WEBHOOK_SIGNING_KEY": "foreign",
    "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content",
}
SDKS = ["openai", "anthropic"]
LANES = ["local-general", "cloud-openai", "cloud-anthropic"]
PROMPT = "What is an okapi?"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (OURS | OTHERS).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as running:
        yield running


def asked(upstream: ThreadedUpstream, lane: str) -> dict[str, str]:
    """The headers that `lane` got."""
    made = config(upstream.url, upstream.url)
    lanes = tuple(one.model_copy(update={"api_key": EnvRef(env="THE_LANES_KEY")}) for one in made.lanes)
    body = {"model": lane, "messages": [{"role": "user", "content": PROMPT}]}
    with serving(made.model_copy(update={"lanes": lanes})) as url:
        assert httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=60).status_code == 200
    (request,) = upstream.requests
    return request.headers


@pytest.mark.parametrize("lane", LANES)
def test_a_lane_is_sent_its_own_key_and_none_of_the_environment(
    lane: str, upstream: ThreadedUpstream
) -> None:
    headers = asked(upstream, lane)
    assert headers["authorization"] == "Bearer sk-the-lanes-own"
    assert b"foreign" not in bytes(upstream.received_bytes)
    assert not {"openai-organization", "openai-project", "x-foreign"} & headers.keys()


def test_the_command_line_sends_the_callers_key_and_none_of_the_environment(
    upstream: ThreadedUpstream,
) -> None:
    CliRunner().invoke(app, ["ask", PROMPT, "--url", upstream.url])
    (request,) = upstream.requests
    assert request.headers["authorization"] == "Bearer pm-the-callers-own"
    assert b"foreign" not in bytes(upstream.received_bytes)


@pytest.mark.parametrize("lane", LANES)
def test_an_sdk_that_is_told_to_log_everything_logs_no_request(
    lane: str, upstream: ThreadedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in SDKS:  # what `OPENAI_LOG` and `ANTHROPIC_LOG` do when the SDKs are imported
        caplog.set_level(logging.DEBUG, logger=name)
    asked(upstream, lane)
    assert upstream.requests
    assert PROMPT not in "".join(record.getMessage() for record in caplog.records)
    assert not [record for record in caplog.records if record.name.partition(".")[0] in SDKS]


def test_a_trace_that_is_under_way_goes_to_no_lane(
    upstream: ThreadedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    headers = asked(upstream, "cloud-anthropic")
    provider.shutdown()
    assert not {"traceparent", "tracestate", "baggage"} & headers.keys()
