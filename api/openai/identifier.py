"""Ids in OpenAI's form: ``batch_…`` and ``file-…``. A batch's output and error files are named after the batch."""

import re
from typing import NamedTuple
from uuid import UUID

from lengthwise.errors import NotFound
from lengthwise.kinds.openai import batch_name

__all__ = ["FileId", "batch_id", "batch_name", "file_id", "file_name"]

_BATCH = re.compile(r"batch_([0-9a-f]{32})", re.ASCII)
_FILE = re.compile(r"file-([0-9a-f]{32})(|-output|-errors)", re.ASCII)
_ENDINGS = ("", "-output", "-errors")


class FileId(NamedTuple):
    """``part`` is 0 for a file that was uploaded, 1 for the output of the batch ``id``, 2 for its errors."""

    id: UUID
    part: int


def batch_id(text: str) -> UUID:
    """Raises ``NotFound`` for a text that cannot be a batch's id."""
    found = _BATCH.fullmatch(text)
    if found is None:
        raise NotFound("there is no such batch")
    return UUID(found[1])


def file_id(text: str) -> FileId:
    """Raises ``NotFound`` for a text that cannot be a file's id."""
    found = _FILE.fullmatch(text)
    if found is None:
        raise NotFound("there is no such file")
    return FileId(UUID(found[1]), _ENDINGS.index(found[2]))


def file_name(file: UUID, part: int = 0) -> str:
    return f"file-{file.hex}{_ENDINGS[part]}"
