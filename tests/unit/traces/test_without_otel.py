"""Without a collector nothing of OpenTelemetry is imported, and the caller's context is passed on."""

import os
import subprocess
import sys

import pytest

from lengthwise import traces

WHOLE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_SCRIPT = """
import sys
import {module}
from lengthwise import traces
traces.set_up("api", "api-1")
with traces.span("POST", None) as span:
    assert span.traceparent is None
# Where the SDK is installed, redis imports its part for metrics.
ours = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "lengthwise.traces.otel")
print(*sorted(name for name in sys.modules if name.startswith(ours)))
"""


@pytest.mark.parametrize(
    "module", ["lengthwise.traces", "api.app", "worker.generation.generate", "worker.upkeep.sweep"]
)
def test_nothing_of_opentelemetry_is_imported(module: str) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", _SCRIPT.format(module=module)]
    ran = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout == "\n"


def test_a_collector_without_the_extra_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "lengthwise.traces.otel", None)
    traces.set_up("api", "api-1")
    assert not traces.is_on()
    assert "lengthwise[otel] is not installed" in caplog.text


def test_a_span_that_is_not_exported_passes_the_callers_context_on() -> None:
    assert traces.current() is None
    with traces.span("POST", WHOLE):
        assert traces.current() == WHOLE
        with traces.span("settle", traces.current()):
            assert traces.current() == WHOLE
        with traces.within(traces.begin("claim", None)):
            assert traces.current() is None
    assert traces.current() is None


def test_an_error_passes_through_a_span() -> None:
    with pytest.raises(ValueError, match="x"), traces.span("POST", None):
        raise ValueError("x")
