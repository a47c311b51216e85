"""Finds the backend that a model names among the installed entry points of the group ``lengthwise.engines``."""

from importlib.metadata import entry_points

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import Engine

GROUP = "lengthwise.engines"

_HINT = "install the extra that docs/backends.md names"


def load(spec: ModelSpec) -> Engine:
    """Loads ``spec`` with the backend that it names.

    Raises ``ConfigurationError`` if no such backend is installed, or a package that it needs is missing.
    """
    known = {point.name: point for point in entry_points(group=GROUP)}
    if spec.engine not in known:
        names = ", ".join(sorted(known)) or "none: is lengthwise installed?"
        raise ConfigurationError(f"model {spec.name}: there is no engine {spec.engine!r}; known engines: {names}")
    try:
        backend: type[Engine] = known[spec.engine].load()
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"model {spec.name}: the engine {spec.engine!r} needs {error.name}: {_HINT}") from None
    return backend.load(spec)
