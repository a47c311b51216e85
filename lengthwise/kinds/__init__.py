"""The kinds of job, by name. A new kind is one module and one line: its entry point in the group ``lengthwise.kinds``.

The line is in the ``pyproject.toml`` of this package or of another one.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from lengthwise import entry_points
from lengthwise.errors import ConfigurationError
from lengthwise.kinds.kind import Kind
from lengthwise.kinds.native import NativeKind
from lengthwise.models import catalog

log = logging.getLogger(__name__)

#: Short enough for a job's ``kind``, and fit for a TOML key and the name of a schema.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: What each kind must define. All its methods are inherited or abstract.
_DECLARED = ("name", "item_type", "summary", "example")


class InstalledKinds(Mapping[str, NativeKind]):
    """The kinds that a native job may name. Each is loaded when it is first looked up.

    Looking up a kind that cannot be loaded raises ``ConfigurationError``. The other kinds still work.
    """

    def __getitem__(self, name: str) -> NativeKind:
        return _kind(name, entry_points.load(entry_points.KINDS, name))

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def usable(self) -> dict[str, NativeKind]:
        """All kinds that can be loaded. The log says why the others cannot."""
        found = {}
        for name in self:
            try:
                found[name] = self[name]
            except ConfigurationError as error:
                log.error("%s", error)
        return found

    @staticmethod
    def _names() -> list[str]:
        return entry_points.names(entry_points.KINDS)


KINDS = InstalledKinds()


def find(name: str) -> Kind:
    """A native kind, or that of an OpenAI endpoint. Raises ``KeyError``; ``ConfigurationError`` if it is broken."""
    from lengthwise.kinds import openai  # its JSON schemas are slow to import, and the command line needs none

    return openai.BY_NAME.get(name) or KINDS[name]


@cache
def _kind(name: str, offered: Any) -> NativeKind:
    """An instance of the class ``offered`` by this name. Raises ``ConfigurationError`` if that is not a kind."""
    if not _NAME.fullmatch(name) or name in catalog.SETTINGS:
        raise _refusal(name, "is no name for a kind: it must be a short lowercase word, and no setting of a model")
    if not isinstance(offered, type) or not issubclass(offered, NativeKind):
        raise _refusal(name, "is no subclass of lengthwise.kinds.native.NativeKind")
    if missing := [each for each in _DECLARED if not hasattr(offered, each)]:
        raise _refusal(name, f"does not define {', '.join(missing)}")
    if offered.name != name:
        raise _refusal(name, f"calls itself {offered.name!r}: its entry point must have the same name")
    try:
        return offered()
    except TypeError as error:
        raise _refusal(name, f"cannot be made: {error}") from None


def _refusal(name: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{entry_points.KINDS}: {name!r} {reason}")
