"""Uploaded files. They are stored in chunks, so that no file is ever held in memory as a whole."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound

#: Bytes in one chunk.
CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file. ``part`` is 0 for an uploaded file, 1 for the output of the batch ``id``, and 2 for its errors."""

    id: UUID
    part: int
    filename: str
    purpose: str
    n_bytes: int
    created_at: datetime
    expires_at: datetime | None
    n_lines: int = 0
    #: Whether ``n_bytes`` lacks the lines of the items that never ran, because they are not counted yet.
    lacks_dropped: bool = False


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is about to be stored.

    ``filename`` and ``keep_seconds`` are called after the last chunk: in a form they may come after the file.
    """

    id: UUID
    tenant_id: UUID
    filename: Callable[[], str]
    keep_seconds: Callable[[], int]


def store(connection: Connection, new: NewFile, chunks: Iterable[bytes]) -> FileRow:
    """Stores a batch's input file. Memory holds one chunk at a time."""
    cursor = database.cursor(connection)
    n_bytes = n_lines = 0
    last = b"\n"
    with cursor.copy("COPY file_chunks (file_id, n, data) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["uuid", "int4", "bytea"])
        for n, chunk in enumerate(chunks):
            copy.write_row((new.id, n, chunk))
            n_bytes += len(chunk)
            n_lines += chunk.count(b"\n")
            last = chunk[-1:]
    values = {
        "id": new.id,
        "tenant": new.tenant_id,
        "filename": new.filename(),
        "purpose": "batch",
        "bytes": n_bytes,
        "lines": n_lines + (last != b"\n"),
        "keep": new.keep_seconds(),
    }
    cursor.execute(_INSERT, values)
    return find(connection, new.id, new.tenant_id)


def find(connection: Connection, file_id: UUID, tenant_id: UUID) -> FileRow:
    """One uploaded file. Raises ``NotFound`` if it was deleted, has expired, or belongs to another tenant."""
    cursor = database.cursor(connection, rows=class_row(FileRow))
    found: FileRow | None = cursor.execute(_FIND, {"id": file_id, "tenant": tenant_id}).fetchone()
    if found is None:
        raise NotFound("there is no such file")
    return found


def read_chunk(connection: Connection, file_id: UUID, n: int) -> bytes | None:
    """The n-th chunk, counted from 0; None after the last. A deleted file has its chunks until the sweep."""
    cursor = database.cursor(connection, binary=True)
    row = cursor.execute("SELECT data FROM file_chunks WHERE file_id = %s AND n = %s", [file_id, n]).fetchone()
    return None if row is None else row[0]


def delete(connection: Connection, file_id: UUID, tenant_id: UUID) -> None:
    """Hides the file. The sweep removes it later. Raises ``NotFound``."""
    find(connection, file_id, tenant_id)
    database.cursor(connection).execute(
        "UPDATE files SET deleted_at = clock_timestamp() WHERE id = %s AND deleted_at IS NULL", [file_id]
    )


def expire(connection: Connection) -> int:
    """Hides files whose time is over. Returns how many."""
    cursor = database.cursor(connection)
    cursor.execute(_EXPIRE)
    return cursor.rowcount


def purge(connection: Connection) -> bool:
    """Removes one hidden file that no batch still has to read. Returns whether there was one."""
    cursor = database.cursor(connection)
    row = cursor.execute(_TAKE).fetchone()
    if row is None:
        return False
    cursor.execute("DELETE FROM file_chunks WHERE file_id = %s", [row[0]])
    cursor.execute("DELETE FROM files WHERE id = %s", [row[0]])
    return True


_INSERT = """
INSERT INTO files (id, tenant_id, filename, purpose, n_bytes, n_lines, expires_at)
VALUES (%(id)s, %(tenant)s, %(filename)s, %(purpose)s, %(bytes)s, %(lines)s, now() + make_interval(secs => %(keep)s))
"""

_FIND = """
SELECT id, 0 AS part, filename, purpose, n_bytes, created_at, expires_at, n_lines FROM files
WHERE id = %(id)s AND tenant_id = %(tenant)s AND deleted_at IS NULL AND expires_at > now()
"""

_EXPIRE = """
UPDATE files SET deleted_at = clock_timestamp()
WHERE id = ANY(ARRAY(SELECT id FROM files WHERE deleted_at IS NULL AND expires_at <= now()
                     ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED))
"""

_TAKE = """
SELECT id FROM files
WHERE deleted_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM batches WHERE input_file_id = files.id AND batches.state = 'validating')
ORDER BY deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
