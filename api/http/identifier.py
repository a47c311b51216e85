"""Ids in paths and parameters."""

from uuid import UUID

from lengthwise.errors import NotFound


def identifier(text: str, what: str = "job") -> UUID:
    """The id that a caller sent. A text that cannot be an id names nothing: raises ``NotFound``."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"there is no such {what}") from None
