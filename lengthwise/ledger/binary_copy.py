"""Rows of ``items`` and ``results`` in Postgres' binary COPY format, in blocks.

Writing blocks of rows costs half of writing rows one by one. The format is described under "Binary Format" in
PostgreSQL's documentation of COPY.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from struct import Struct, pack
from typing import Any
from uuid import UUID

from psycopg import Cursor

from lengthwise.ledger import store
from lengthwise.states import ResultStatus

#: By store.
COPY_ITEMS = store.by_store("COPY {items} (job_id, pos, index, n_tokens, payload) FROM STDIN (FORMAT BINARY)")
COPY_RESULTS = store.by_store("COPY {results} (job_id, index, status, result) FROM STDIN (FORMAT BINARY)")

#: The header: a signature, no flags, no extension. The end: a number of fields that no row has.
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"

#: An item's row: the number of fields, then each field after its size in bytes. It ends with the payload's size.
_ROW = Struct(">hi16siiiiiii")

#: A result's row begins with the number of fields, job_id and index. The status and the line follow with their sizes.
_RESULT = Struct(">hi16sii")
_STATUS = {status: pack(">i", len(status)) + status.encode() for status in ResultStatus}
_SIZE = Struct(">i")

_BLOCK_ROWS = 256


def copy(cursor: Cursor[Any], statement: str, blocks: Iterable[bytes]) -> None:
    """Runs a COPY statement with these blocks."""
    with cursor.copy(statement.encode()) as sending:
        for block in blocks:
            sending.write(block)


def item_blocks(job_id: UUID, rows: Iterable[tuple[int, int, int, bytes]]) -> Iterator[bytes]:
    """The data of ``COPY_ITEMS`` for one job. Each row is pos, index, n_tokens and payload."""
    yield _HEADER
    job, pack, rest = job_id.bytes, _ROW.pack, iter(rows)
    while block := [
        pack(5, 16, job, 4, pos, 4, index, 4, n_tokens, len(payload)) + payload
        for pos, index, n_tokens, payload in islice(rest, _BLOCK_ROWS)
    ]:
        yield b"".join(block)
    yield _END


def result_blocks(rows: Iterable[tuple[UUID, int, ResultStatus, bytes]]) -> Iterator[bytes]:
    """The data of ``COPY_RESULTS``. Each row is job_id, index, status and line."""
    yield _HEADER
    pack, size, rest = _RESULT.pack, _SIZE.pack, iter(rows)
    while block := [
        pack(4, 16, job_id.bytes, 4, index) + _STATUS[status] + size(len(line)) + line
        for job_id, index, status, line in islice(rest, _BLOCK_ROWS)
    ]:
        yield b"".join(block)
    yield _END
