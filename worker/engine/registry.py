"""Finds the backend that a model names among the installed entry points of the group ``lengthwise.engines``."""

from lengthwise import entry_points
from lengthwise.errors import ConfigurationError
from lengthwise.models import fitting
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.labels import Labels
from worker.engine.protocol import Engine

_HINT = "install the extra that docs/backends.md names"
_OUTDATED = "it was written for another version of worker.engine.protocol"


def load(spec: ModelSpec) -> Engine:
    """Loads ``spec`` with the backend that it names.

    Raises ``ConfigurationError`` if no such backend is installed, a package that it needs is missing, its engines do
    not start batches, or the loaded model cannot serve its kinds.
    """
    engine = _backend(spec).load(spec)
    if not callable(getattr(engine, "start", None)):
        raise ConfigurationError(f"model {spec.name}: the engine {spec.engine!r} has no method start: {_OUTDATED}")
    found = engine.capabilities()
    labels = Labels(found.labels, found.are_labels_exclusive) if found.labels else None
    fitting.check(spec, f"the engine {spec.engine}", found.architecture, labels)
    return engine


def _backend(spec: ModelSpec) -> type[Engine]:
    try:
        backend: type[Engine] = entry_points.load(entry_points.ENGINES, spec.engine)
    except KeyError:
        names = ", ".join(entry_points.names(entry_points.ENGINES)) or "none: is lengthwise installed?"
        raise ConfigurationError(
            f"model {spec.name}: there is no engine {spec.engine!r}; known engines: {names}"
        ) from None
    except ConfigurationError as error:
        if isinstance(missing := error.__cause__, ModuleNotFoundError):
            needed = f"the engine {spec.engine!r} needs {missing.name}: {_HINT}"
            raise ConfigurationError(f"model {spec.name}: {needed}") from None
        raise ConfigurationError(f"model {spec.name}: {error}") from error.__cause__
    return backend
