"""What Serve asks for when it sets up tracing in a process: where spans go.

`RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH=serve.tracing.exporter:processors` names it; the OTEL_* variables do the rest.
"""

import importlib.util
import os
from typing import TYPE_CHECKING

from serve.errors import ConfigError
from serve.tracing import spans
from serve.tracing.config import TracingConfig

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

PATH = "serve.tracing.exporter:processors"
_PACKAGES = {
    "http/protobuf": ("opentelemetry.exporter.otlp.proto.http", "opentelemetry-exporter-otlp-proto-http"),
    "grpc": ("opentelemetry.exporter.otlp.proto.grpc", "opentelemetry-exporter-otlp-proto-grpc"),
}


def environment(config: TracingConfig) -> dict[str, str]:
    """Variables that make Serve trace. Raises ConfigError when spans could not be sent."""
    if not config.enabled:
        return {}
    _require()
    return {
        "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": PATH,
        "RAY_SERVE_TRACING_SAMPLING_RATIO": str(config.share),
    }


def processors() -> "list[SpanProcessor]":
    """Of this process: one that sends spans in groups, none with OTEL_TRACES_EXPORTER=none. Raises ConfigError."""
    _require()
    os.environ.setdefault("OTEL_SERVICE_NAME", "pointsman")
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    spans.switch_on(trace.get_tracer("pointsman"))
    exporter = _exporter()
    return [] if exporter is None else [BatchSpanProcessor(exporter)]


def _kind() -> str:
    return os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()


def _protocol() -> str:
    general = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", general).strip().lower()


def _require() -> None:
    kind, protocol = _kind(), _protocol()
    if kind not in ("otlp", "console", "none"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER must be otlp, console or none, not {kind!r}")
    if kind != "otlp":
        return
    if protocol not in _PACKAGES:
        known = " or ".join(_PACKAGES)
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be {known}, not {protocol!r}")
    module, package = _PACKAGES[protocol]
    if not _installed(module):
        raise ConfigError(
            f"tracing.enabled: {package} is not installed here: install it, or set OTEL_TRACES_EXPORTER=console"
        )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there either
        return False


def _exporter() -> "SpanExporter | None":
    match _kind(), _protocol():
        case "none", _:
            return None
        case "console", _:
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            return ConsoleSpanExporter()
        case _, "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

            return Grpc()
        case _:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

            return Http()
