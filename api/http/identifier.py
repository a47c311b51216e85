"""Ids in paths and parameters."""

import re
from uuid import UUID

from lengthwise.errors import NotFound

#: One spelling, so that an id that a log, a cache or a rule of a proxy sees is the id that is meant.
_SHOWN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def identifier(text: str, what: str = "job") -> UUID:
    """The id that a caller sent, spelled as this API shows it. Any other text names nothing: raises ``NotFound``."""
    if _SHOWN.fullmatch(text) is None:
        raise NotFound(f"there is no such {what}")
    return UUID(text)
