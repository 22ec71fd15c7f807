"""Spans of a request and of its stages: ids, codes and numbers, and never a word of what was said.

While tracing is off nothing is made, and OpenTelemetry is not even imported.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from serve.errors import HttpError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

HEADERS = ("traceparent", "tracestate")
"""What a client may say of its own trace (W3C). It goes on to no lane."""
_PREFIX = "pointsman."

Value = str | int | float | bool | None


class Noting(Protocol):
    """One span that is open."""

    def note(self, **about: Value) -> None:
        """Say something of it: ids, codes, numbers. None is left out."""
        ...


class RequestSpan(Protocol):
    """The span of one request, from its decision to the end of its answer."""

    def inside(self) -> AbstractContextManager[object]:
        """What is made within the block belongs to it."""
        ...

    def end(self, **about: Value) -> None:
        """It is over; only the first call counts."""
        ...


_NO_CONTEXT = nullcontext()


class _Nothing:
    """What stands for every span while tracing is off."""

    def note(self, **about: Value) -> None: ...
    def inside(self) -> AbstractContextManager[object]:
        return _NO_CONTEXT

    def end(self, **about: Value) -> None: ...


NOTHING = _Nothing()


class _Switch:
    """Tracing of this process."""

    tracer: "Tracer | None" = None


_SWITCH = _Switch()


def switch_on(tracer: "Tracer | None") -> None:
    """From now on spans are made with `tracer`; None: no more."""
    _SWITCH.tracer = tracer


def begin(headers: Mapping[str, str]) -> RequestSpan:
    """The span of a request, below Serve's own span of it, else below what `headers` say."""
    tracer = _SWITCH.tracer
    if tracer is None:
        return NOTHING
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    known = trace.get_current_span().get_span_context().is_valid
    carrier = {name: headers[name] for name in HEADERS if name in headers}
    parent = None if known else TraceContextTextMapPropagator().extract(carrier)
    return _Request(tracer.start_span("request", context=parent, kind=trace.SpanKind.SERVER))


@contextmanager
def ends_with(span: RequestSpan) -> Iterator[None]:
    """End `span` with whatever ends the block by an exception."""
    try:
        yield
    except BaseException as error:
        span.end(status=error.code if isinstance(error, HttpError) else "left")
        raise


@contextmanager
def stage(name: str, **about: Value) -> Iterator[Noting]:
    """A stage of whatever is under way, for as long as the block lasts."""
    tracer = _SWITCH.tracer
    if tracer is None:
        yield NOTHING
        return
    # What an exception says may quote somebody: its code is noted by who knows it.
    with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
        noting = _Stage(span)
        noting.note(**about)
        yield noting


class _Stage:
    def __init__(self, span: "Span") -> None:
        self._span = span

    def note(self, **about: Value) -> None:
        known = {f"{_PREFIX}{name}": value for name, value in about.items() if value is not None}
        self._span.set_attributes(known)


class _Request(_Stage):
    def inside(self) -> AbstractContextManager[object]:
        from opentelemetry import trace

        return trace.use_span(self._span, record_exception=False, set_status_on_exception=False)

    def end(self, **about: Value) -> None:
        if self._span.is_recording():
            self.note(**about)
            self._span.end()
