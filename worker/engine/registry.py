"""Finds the backend that a model names, among those installed under the entry-point group ``lengthwise.engines``."""

from importlib.metadata import entry_points

from lengthwise.catalog import ModelSpec
from lengthwise.errors import ConfigurationError
from worker.engine.protocol import Engine

GROUP = "lengthwise.engines"


def load(spec: ModelSpec) -> Engine:
    """Loads ``spec`` with the backend it names. Raises ``ConfigurationError`` where no such backend is installed."""
    known = {point.name: point for point in entry_points(group=GROUP)}
    if spec.engine not in known:
        names = ", ".join(sorted(known)) or "none: is lengthwise installed?"
        raise ConfigurationError(f"model {spec.name}: there is no engine {spec.engine!r}; known engines: {names}")
    backend: type[Engine] = known[spec.engine].load()
    return backend.load(spec)
