"""Finds the backend that a model names among the installed entry points of the group ``lengthwise.engines``."""

from importlib.metadata import entry_points

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import Engine

GROUP = "lengthwise.engines"

_HINT = "install the extra that docs/backends.md names"
_OUTDATED = "it was written for another version of worker.engine.protocol"


def load(spec: ModelSpec) -> Engine:
    """Loads ``spec`` with the backend that it names.

    Raises ``ConfigurationError`` if no such backend is installed, a package that it needs is missing, or its engines do
    not start batches.
    """
    known = {point.name: point for point in entry_points(group=GROUP)}
    if spec.engine not in known:
        names = ", ".join(sorted(known)) or "none: is lengthwise installed?"
        raise ConfigurationError(f"model {spec.name}: there is no engine {spec.engine!r}; known engines: {names}")
    try:
        backend: type[Engine] = known[spec.engine].load()
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"model {spec.name}: the engine {spec.engine!r} needs {error.name}: {_HINT}") from None
    engine = backend.load(spec)
    if not callable(getattr(engine, "start", None)):
        raise ConfigurationError(f"model {spec.name}: the engine {spec.engine!r} has no method start: {_OUTDATED}")
    return engine
