"""Which extras are installed, and what to install where a command needs one that is not.

``pip install lengthwise`` brings the client and the commands that use it. All else is in the extras of pyproject.toml,
which are read from the installed package's metadata: no list of packages stands here.
"""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires

from lengthwise.errors import ConfigurationError

PACKAGE = "lengthwise"

#: A requirement as the metadata has it, such as ``celery<6,>=5.5; extra == 'api'``.
_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+).*; extra == ["'](?P<extra>[\w-]+)["']""")


def require(extra: str, *, suggested: str | None = None) -> None:
    """Raises ``ConfigurationError`` unless every package of ``extra`` is installed.

    The message says to install ``suggested``, an extra that includes this one, or else ``extra`` itself.
    """
    for name in _missing(extra):
        raise ConfigurationError(f'{name} is not installed: pip install "{PACKAGE}[{suggested or extra}]"')


def is_installed(extra: str) -> bool:
    return not any(_missing(extra))


def _missing(extra: str) -> Iterator[str]:
    """The packages of ``extra`` that are not installed. Their versions are pip's business."""
    for line in requires(PACKAGE) or ():
        found = _REQUIREMENT.fullmatch(line)
        if found and found["extra"] == extra and not _has(found["name"]):
            yield found["name"]


def _has(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
