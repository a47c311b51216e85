"""Rows of ``items`` and ``results`` in Postgres' binary COPY format, by the block: half the cost of one by one.

See "Binary Format" in PostgreSQL's manual of COPY.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from struct import Struct, pack
from typing import Any
from uuid import UUID

from psycopg import Cursor

from lengthwise.states import ResultStatus

COPY_ITEMS = "COPY items (job_id, pos, index, n_tokens, payload) FROM STDIN (FORMAT BINARY)"
COPY_RESULTS = "COPY results (job_id, index, status, result) FROM STDIN (FORMAT BINARY)"

#: The signature, no flags, no extension; and the count of fields that no row has.
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"

#: Five fields, each behind its size in bytes: job_id, pos, index, n_tokens, and payload's size.
_ROW = Struct(">hi16siiiiiii")

#: Of a result: four fields, job_id and index; then the status with its size; then the line's size.
_RESULT = Struct(">hi16sii")
_STATUS = {status: pack(">i", len(status)) + status.encode() for status in ResultStatus}
_SIZE = Struct(">i")

_BLOCK_ROWS = 256


def copy(cursor: Cursor[Any], statement: str, blocks: Iterable[bytes]) -> None:
    """Sends one of the two statements its rows."""
    with cursor.copy(statement.encode()) as sending:
        for block in blocks:
            sending.write(block)


def item_blocks(job_id: UUID, rows: Iterable[tuple[int, int, int, bytes]]) -> Iterator[bytes]:
    """All that ``COPY_ITEMS`` is sent, for rows without the job: pos, index, n_tokens and payload."""
    yield _HEADER
    job, pack, rest = job_id.bytes, _ROW.pack, iter(rows)
    while block := [
        pack(5, 16, job, 4, pos, 4, index, 4, n_tokens, len(payload)) + payload
        for pos, index, n_tokens, payload in islice(rest, _BLOCK_ROWS)
    ]:
        yield b"".join(block)
    yield _END


def result_blocks(rows: Iterable[tuple[UUID, int, ResultStatus, bytes]]) -> Iterator[bytes]:
    """All that ``COPY_RESULTS`` is sent."""
    yield _HEADER
    pack, size, rest = _RESULT.pack, _SIZE.pack, iter(rows)
    while block := [
        pack(4, 16, job_id.bytes, 4, index) + _STATUS[status] + size(len(line)) + line
        for job_id, index, status, line in islice(rest, _BLOCK_ROWS)
    ]:
        yield b"".join(block)
    yield _END
