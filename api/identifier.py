"""Ids in paths and parameters."""

from uuid import UUID

from lengthwise.errors import NotFound


def identifier(text: str) -> UUID:
    """A job's id. What cannot be one is a job that is not there: raises ``NotFound``."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("there is no such job") from None
