"""Traces of a real Pointsman: Serve sets them up in each process, its spans and ours make one trace."""

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import client_of, patient, up, wait_for
from tests.support.collector import Collector
from tests.support.upstream import ThreadedUpstream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

HELLO: list[Any] = [{"role": "user", "content": "hello quicksilver"}]
TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_serves_own_exporter_sends_one_trace_without_content(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the OTLP exporter is not installed")
    config = patient("laptop-ollama.yaml", tmp_path, tracing={"enabled": True})
    with ThreadedUpstream() as local, Collector() as collector:
        places = {
            "LOCAL_BASE_URL": f"{local.url}/v1",
            "OPENAI_API_KEY": "",
            "ANTHROPIC_API_KEY": "",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        with up(config, places) as (_pid, url), client_of(url) as ask:
            traceparent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
            ask.chat.completions.create(model="auto", messages=HELLO, extra_headers=traceparent)
            wait_for(lambda: {"request", "gather", "attempt"} <= set(collector.names()), 60, "spans")
        assert not [one for one in local.requests if "traceparent" in one.headers]
    told = [span for _, document in collector.got for resource in document.resource_spans
            for scope in resource.scope_spans for span in scope.spans]  # fmt: skip
    (request,) = [span for span in told if span.name == "request"]
    assert request.trace_id.hex() == TRACE
    mine = [span for span in told if span.trace_id.hex() == TRACE]
    assert {"request", "gather", "policy", "attempt", "verdict"} <= {span.name for span in mine}
    assert not [document for _, document in collector.got if b"quicksilver" in document.SerializeToString()]
