"""What installed packages offer under an entry-point group, found by name and loaded when first needed.

Knows nothing of what is offered.
"""

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lengthwise.errors import ConfigurationError

#: Kinds of job: subclasses of ``lengthwise.kinds.native.NativeKind``.
KINDS = "lengthwise.kinds"
#: Backends: classes with the methods of ``worker.engine.protocol.Engine``.
ENGINES = "lengthwise.engines"


def names(group: str) -> list[str]:
    """The names that packages offer in this group, sorted. Loads nothing."""
    return sorted(_points(group, tuple(sys.path)))


def load(group: str, name: str) -> Any:
    """What a package offers by this name.

    Raises ``KeyError`` if there is nothing of this name, and ``ConfigurationError`` if it cannot be loaded or several
    packages offer it.
    """
    return _load(group, name, tuple(sys.path))


@lru_cache(256)
def _load(group: str, name: str, path: tuple[str, ...]) -> Any:
    points = _points(group, path)[name]
    if len(points) > 1:
        raise ConfigurationError(f"{group}: several packages offer {name!r}: {', '.join(map(_package, points))}")
    try:
        return points[0].load()
    except Exception as error:  # another package's code may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ConfigurationError(
            f"{group}: {name!r} of the package {_package(points[0])} cannot be loaded ({reason})"
        ) from error


@lru_cache(8)
def _points(group: str, _path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """By name. Reading the packages' metadata takes some milliseconds: once for each search path is enough."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "of no name"
