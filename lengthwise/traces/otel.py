"""Exports spans by OpenTelemetry's SDK, as OTLP over HTTP. Imported only if that is wanted."""

from collections.abc import Sequence
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from lengthwise.traces import Attributes, Kind, TraceSpan
from lengthwise.traces.semantics import MAX_LINKS, SCHEMA_URL


class ExportedSpan(TraceSpan):
    """A span of OpenTelemetry. Events are not used: one of an exception would hold its message."""

    def __init__(self, span: Span) -> None:
        context = span.get_span_context()
        super().__init__(f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}")
        self._span = span
        self._has_ended = False

    def add(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._span.end()


class OtelTracing:
    """The spans of one process. OpenTelemetry's variables say where they go and which are kept."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("lengthwise", version("lengthwise"), schema_url=SCHEMA_URL)

    def begin(
        self, name: str, parent: str | None, kind: Kind, links: Sequence[str], attributes: Attributes
    ) -> TraceSpan:
        """See ``lengthwise.traces.begin``. Takes the first ``MAX_LINKS`` of the links."""
        within = Context() if parent is None else set_span_in_context(NonRecordingSpan(_context(parent)), Context())
        span = self._tracer.start_span(
            name,
            within,
            SpanKind[kind.upper()],
            dict(attributes),
            [Link(_context(each)) for each in links[:MAX_LINKS]],
            record_exception=False,
            set_status_on_exception=False,
        )
        return ExportedSpan(span)

    def shut(self) -> None:
        self._provider.shutdown()


def connect(role: str, worker: str) -> OtelTracing:
    """Begins to export, in a thread."""
    resource = Resource.create(
        {
            "service.name": "lengthwise",
            "service.namespace": role,
            "service.instance.id": worker,
            "service.version": version("lengthwise"),
        }
    )
    provider = TracerProvider(resource=resource, span_limits=SpanLimits(max_links=MAX_LINKS))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OtelTracing(provider)


def _context(traceparent: str) -> SpanContext:
    _, trace, span, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
