"""Ids in paths and parameters."""

from uuid import UUID

from lengthwise.errors import NotFound


def identifier(text: str, what: str = "job") -> UUID:
    """The id of a job, or of what else there is. What cannot be one is not there: raises ``NotFound``."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"there is no such {what}") from None
