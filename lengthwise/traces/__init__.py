"""Traces of jobs, by OpenTelemetry: from the request over the claim, its batches and settlements to the webhook.

Nothing of OpenTelemetry is imported unless the extra ``otel`` is installed and ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set.
Otherwise each span is an object that is dropped again, and only the caller's own W3C context is passed on. Span
attributes are ids and figures: never a text, a key, a URL or the message of an error.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Literal, Protocol

from lengthwise.traces.parent import parse, trace_id

__all__ = ["Kind", "TraceSpan", "begin", "current", "is_on", "parse", "set_up", "shut", "span", "trace_id", "within"]

log = logging.getLogger(__name__)

#: OpenTelemetry's own variables: the address of a collector, for all signals or for traces alone.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Kind = Literal["server", "client", "consumer", "internal"]
Attributes = Mapping[str, str | int | float | bool]


class TraceSpan:
    """A piece of work that is not exported. ``traceparent`` is the W3C context of what it causes, if there is any."""

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent

    def add(self, attributes: Attributes) -> None:
        """Adds attributes, until it has ended."""

    def rename(self, name: str) -> None:
        """Gives it another name, once that is known."""

    def fail(self, kind: str) -> None:
        """Notes that the work failed. ``kind`` is the class of the error, or its code."""

    def end(self) -> None:
        """Ends it; a second call does nothing."""


class Tracing(Protocol):
    """What exports spans."""

    def begin(
        self, name: str, parent: str | None, kind: Kind, links: Sequence[str], attributes: Attributes
    ) -> TraceSpan: ...
    def shut(self) -> None: ...


_tracing: Tracing | None = None
_current: ContextVar[TraceSpan | None] = ContextVar("span", default=None)
_NO_ATTRIBUTES: Attributes = {}


def set_up(role: str, worker: str) -> None:
    """Exports the spans of this process, if the environment names a collector. Call it after any fork."""
    global _tracing
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return
    try:
        _tracing = import_module("lengthwise.traces.otel").connect(role, worker)
    except ImportError:
        log.warning("there are no traces: %s is set, but lengthwise[otel] is not installed", _ENDPOINTS[0])


def shut() -> None:
    """Exports what has not been exported yet, which takes seconds at most, and ends the exports."""
    global _tracing
    if _tracing is not None:
        _tracing.shut()
        _tracing = None


def is_on() -> bool:
    """Whether spans are exported, so that attributes that cost something are worth it."""
    return _tracing is not None


def current() -> str | None:
    """The W3C context of what this task or thread works on."""
    found = _current.get()
    return found.traceparent if found else None


def begin(
    name: str,
    parent: str | None,
    *,
    kind: Kind = "internal",
    links: Sequence[str] = (),
    attributes: Attributes = _NO_ATTRIBUTES,
) -> TraceSpan:
    """Begins a span, which the caller must end. Without a parent it begins a trace.

    ``parent`` and ``links`` are W3C contexts.
    """
    if _tracing is None:
        return TraceSpan(parent)
    return _tracing.begin(name, parent, kind, links, attributes)


@contextmanager
def within(span: TraceSpan) -> Iterator[None]:
    """Makes it the current span for the block."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def span(
    name: str, parent: str | None, *, kind: Kind = "internal", attributes: Attributes = _NO_ATTRIBUTES
) -> Iterator[TraceSpan]:
    """A span for the block, which is the current one meanwhile. It fails if the block raises."""
    made = begin(name, parent, kind=kind, attributes=attributes)
    try:
        with within(made):
            yield made
    except BaseException as error:
        made.fail(type(error).__name__)
        raise
    finally:
        made.end()
