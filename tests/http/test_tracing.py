"""Traces over real HTTP: one span for each request, its stages below it, no content, and nothing for the lanes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serve.config import Config
from serve.errors import ConfigError
from serve.tracing import exporter, spans
from serve.tracing.config import TracingConfig
from tests.http.conftest import Scene
from tests.http.test_reviews import until
from tests.support.collector import Collector

Start = Callable[..., Scene]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ROOT = Path(__file__).parents[2]
CLOUD = {"x-pointsman-prefer": "cloud"}


@pytest.fixture
def memory() -> Iterator[InMemorySpanExporter]:
    """Tracing is on, and what it makes is kept here."""
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    spans.switch_on(provider.get_tracer("tests"))
    yield kept
    spans.switch_on(None)
    provider.shutdown()


def ask(s: Scene, headers: Mapping[str, str] = {}, text: str = "What is an okapi?", **more: Any) -> Any:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]} | more
    return httpx2.post(f"{s.url}/v1/chat/completions", json=body, headers=dict(headers), timeout=60)


def finished(memory: InMemorySpanExporter, count: int = 1) -> tuple[ReadableSpan, ...]:
    """Everything, once so many requests are over."""
    until(lambda: sum(one.name == "request" for one in memory.get_finished_spans()) == count)
    return memory.get_finished_spans()


def named(found: tuple[ReadableSpan, ...], name: str) -> list[ReadableSpan]:
    return [one for one in found if one.name == name]


def about(span: ReadableSpan) -> dict[str, Any]:
    return {name.removeprefix("pointsman."): value for name, value in (span.attributes or {}).items()}


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_one_span_with_its_stages_below_it(
    scene: Start, memory: InMemorySpanExporter, stream: bool
) -> None:
    s = scene(models={"cloud-openai": "500"})
    answer = ask(s, CLOUD, stream=stream)
    found = finished(memory)
    (request,) = named(found, "request")
    told = about(request)
    assert told["decision_id"] == answer.headers["x-pointsman-decision-id"]
    assert (told["lane"], told["status"], told["data_class"]) == ("cloud-anthropic", "ok", "public")
    assert (told["attempts"], told["stream"]) == (2, stream)
    assert [(about(one)["lane"], about(one)["outcome"]) for one in named(found, "attempt")] == [
        ("cloud-openai", "unavailable"),
        ("cloud-anthropic", "ok"),
    ]
    assert request.context is not None
    for name in ("gather", "policy", "attempt"):
        assert {parent_of(one) for one in named(found, name)} == {request.context.span_id}, name
    attempts = {one.context.span_id for one in named(found, "attempt") if one.context}
    assert {parent_of(one) for one in named(found, "reserve")} == attempts
    assert len(named(found, "verdict")) == (0 if stream else 1)
    assert {"context_ms", "sensitivity_ms", "prescout_ms"} <= about(named(found, "gather")[0]).keys()
    assert len({one.context.trace_id for one in found if one.context}) == 1


def test_a_clients_trace_goes_on_here_and_to_no_lane(scene: Start, memory: InMemorySpanExporter) -> None:
    s = scene()
    traced = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=secret"}
    ask(s, traced)
    ask(s, traced | CLOUD)
    for request in named(finished(memory, 2), "request"):
        assert request.context is not None
        assert f"{request.context.trace_id:032x}" == TRACE
        assert f"{parent_of(request):016x}" == PARENT
    sent = [*s.local.requests, *s.cloud.requests]
    assert len(sent) == 2
    assert not [one for one in sent if {"traceparent", "tracestate", "baggage"} & one.headers.keys()]


@pytest.mark.parametrize("header", ["", "00-0-0-01", "rubbish", f"00-{'0' * 32}-{'0' * 16}-01", "x" * 3000])
def test_a_trace_that_means_nothing_is_a_new_one(
    scene: Start, memory: InMemorySpanExporter, header: str
) -> None:
    assert ask(scene(), {"traceparent": header}).status_code == 200
    (request,) = named(finished(memory), "request")
    assert request.parent is None


def test_no_word_of_a_request_its_answer_or_an_error_is_in_a_span(
    scene: Start, memory: InMemorySpanExporter
) -> None:
    s = scene(models={"cloud-openai": "echo_secrets"})
    ask(s, {}, "quicksilver 4111 1111 1111 1111", user="heliotrope")
    ask(s, CLOUD, "quicksilver and heliotrope")
    with pytest.raises(openai.APIStatusError):
        s.ask.chat.completions.create(
            model="quicksilver", messages=[{"role": "user", "content": "heliotrope"}]
        )
    text = "".join(one.to_json() for one in finished(memory, 3))
    # Four digits alone stand in many a random id and time.
    words = ("quicksilver", "heliotrope", "4111 1111", "41111111", "upstream")
    assert not [word for word in words if word in text]


def test_a_refused_request_has_its_span_and_a_trial_has_none(
    scene: Start, memory: InMemorySpanExporter
) -> None:
    s = scene()
    httpx2.post(
        f"{s.url}/v1/route",
        json={"model": "auto", "messages": [{"role": "user", "content": "Hi"}]},
        timeout=60,
    )
    assert ask(s, model="no-such-model").status_code == 404
    (request,) = named(finished(memory), "request")
    assert about(request) == {"status": "model_not_found"}


def test_a_shadow_call_is_a_trace_of_its_own(
    scene: Start, memory: InMemorySpanExporter, tmp_path: Path
) -> None:
    sweeps = {"enabled": True, "every": "day", "share": 1.0}
    s = scene(sweeps=sweeps, state={"url": f"sqlite:///{tmp_path}/state.db"})
    ask(s, {"x-pointsman-prefer": "tier3"})
    until(lambda: bool(named(memory.get_finished_spans(), "shadow")))
    (shadow,), (request,) = (named(memory.get_finished_spans(), name) for name in ("shadow", "request"))
    assert shadow.parent is None
    assert about(shadow)["purpose"] == "sweeps"
    assert about(shadow)["decision_id"] != about(request)["decision_id"]


def test_it_is_off_unless_it_is_switched_on(scene: Start) -> None:
    s = scene()
    assert ask(s, {"traceparent": f"00-{TRACE}-{PARENT}-01"}).status_code == 200
    assert spans.begin({}) is spans.NOTHING
    assert exporter.environment(TracingConfig()) == {}


# --- where spans go --------------------------------------------------------------------------------------------


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running
    spans.switch_on(None)


def test_the_standard_variables_say_where_spans_go(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporter is not installed")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pointsman-tests")
    made = exporter.processors()
    provider = TracerProvider()  # as Serve makes one, after it asked for the processors
    for processor in made:
        provider.add_span_processor(processor)
    spans.switch_on(provider.get_tracer("tests"))
    span = spans.begin({})
    with span.inside(), spans.stage("gather"):
        pass
    span.end(status="ok", lane=None)
    provider.force_flush(30_000)
    provider.shutdown()
    ((path, document),) = collector.got
    assert path == "/v1/traces"
    (resource,) = document.resource_spans
    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert attributes["service.name"] == "pointsman-tests"
    assert sorted(collector.names()) == ["gather", "request"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
)
def test_what_cannot_be_exported_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=variable):
        exporter.environment(TracingConfig(enabled=True))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "_PACKAGES", {"http/protobuf": ("no.such.module", "the-package")})
    with pytest.raises(ConfigError, match="the-package is not installed here"):
        exporter.environment(TracingConfig(enabled=True))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert exporter.environment(TracingConfig(enabled=True, share=0.5)) == {
        "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": exporter.PATH,
        "RAY_SERVE_TRACING_SAMPLING_RATIO": "0.5",
    }


def test_the_section_is_off_by_default() -> None:
    assert Config.model_fields["tracing"].default == TracingConfig(enabled=False)


SERVES_OWN = """
from ray.serve._private.common import ServeComponentType
from ray.serve._private.tracing_utils import setup_tracing
from ray.serve.schema import TracingConfig
from opentelemetry import trace
from serve.tracing import exporter, spans

config = TracingConfig(enabled=True, exporter_import_path=exporter.PATH, sampling_ratio=1.0)
assert setup_tracing("Router", "replica", ServeComponentType.REPLICA, config)
with trace.get_tracer("serve").start_as_current_span("replica"):
    span = spans.begin({"traceparent": "rubbish"})
    span.end(status="ok")
trace.get_tracer_provider().force_flush(30_000)
"""


def test_serves_own_set_up_takes_the_exporter_and_its_span_is_the_parent(collector: Collector) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporter is not installed")
    more = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-W", "ignore", "-c", SERVES_OWN]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | more, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert sorted(collector.names()) == ["replica", "request"]
    (resource,) = collector.got[0][1].resource_spans
    assert "pointsman" in {one.value.string_value for one in resource.resource.attributes}
    found = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert found["request"].parent_span_id == found["replica"].span_id
