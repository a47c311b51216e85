"""An upload of /v1/files: a multipart form whose file has lines of JSON."""

from dataclasses import dataclass, field
from typing import ClassVar

from api.http.form import FileForm
from lengthwise import encoding
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.ledger.openai.file import CHUNK_BYTES

#: OpenAI's bounds of ``expires_after[seconds]``.
_KEEP_SECONDS = (3600, 2_592_000)


@dataclass
class Upload(FileForm):
    """One upload. Read all ``chunks`` first: only then are the form's other fields known and checked."""

    chunk_bytes: ClassVar[int] = CHUNK_BYTES

    #: Lines that the file may have, blank ones included.
    max_lines: int
    _n_lines: int = field(default=0, init=False)
    _is_begun: bool = field(default=False, init=False)

    def looked_at(self, chunk: bytes) -> bytes:
        """The chunk. The first is checked: its lines are read later, but no line of such a file could be.

        A file of nothing but ends of lines would take long to read.
        """
        if not self._is_begun and (found := encoding.signature(chunk)):
            raise InvalidInput(f"this is {found}: upload lines of JSON in UTF-8, not compressed", "file")
        self._is_begun = True
        self._n_lines += chunk.count(b"\n")
        if self._n_lines > self.max_lines:
            raise TooLarge(f"may have at most {self.max_lines} lines", "file")
        return chunk

    def keep_seconds(self, default: int) -> int:
        """How long the caller wants to keep the file, in seconds; ``default`` if it does not say."""
        seconds = self.fields.get("expires_after[seconds]")
        return default if seconds is None else int(seconds)

    @property
    def purpose(self) -> str:
        return self.fields["purpose"]

    def check(self) -> None:
        if not self.has_file:
            raise InvalidInput("is missing: the form has no part of this name with a filename", "file")
        if self.fields.get("purpose") != "batch":
            raise InvalidInput("must be batch: no other purpose is supported", "purpose")
        if self.fields.get("expires_after[anchor]", "created_at") != "created_at":
            raise InvalidInput("must be created_at", "expires_after[anchor]")
        seconds = self.fields.get("expires_after[seconds]", "3600")
        shortest, longest = _KEEP_SECONDS
        if not (
            seconds.isascii() and seconds.isdecimal() and len(seconds) < 10 and shortest <= int(seconds) <= longest
        ):
            raise InvalidInput(f"must be a whole number from {shortest} to {longest}", "expires_after[seconds]")
