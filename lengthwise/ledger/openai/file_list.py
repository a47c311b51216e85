"""All files of a tenant: uploaded ones, and the output and error files of its batches. A page of them is one query."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger.openai.file import FileRow


@dataclass(frozen=True, slots=True)
class FileCursor:
    """A file's position in the list. A batch's files count as old as the batch."""

    created_at: datetime
    id: UUID
    part: int


def page(
    connection: Connection,
    tenant_id: UUID,
    *,
    purpose: str | None,
    after: FileCursor | None,
    limit: int,
    retention_seconds: int,
    is_ascending: bool = False,
) -> list[FileRow]:
    """Files of the purpose ``batch`` (uploaded) or ``batch_output``, or with None both; newest first unless ascending.

    There are no files of another purpose.
    """
    parts = [_STATEMENTS[each] for each in _STATEMENTS if purpose in (None, each)]
    if not parts:
        return []
    start = after or FileCursor(datetime.min if is_ascending else datetime.max, UUID(int=0), 0)
    where = asdict(start) | {"tenant": tenant_id, "limit": limit, "retention": retention_seconds}
    compared, order = (">", "ASC") if is_ascending else ("<", "DESC")
    statement = _PAGE.format(parts=" UNION ALL ".join(parts)).format(compared=compared, order=order)
    cursor = database.cursor(connection, rows=class_row(FileRow))
    return cursor.execute(statement, where).fetchall()


def find_output(
    connection: Connection, batch_id: UUID, part: int, tenant_id: UUID, *, retention_seconds: int
) -> FileRow:
    """The output file of a batch (``part`` 1), or its error file (2).

    Raises ``NotFound`` if it has no line, was deleted, has expired, or belongs to another tenant.
    """
    where = {"tenant": tenant_id, "limit": 1, "retention": retention_seconds, "id": batch_id, "part": part}
    cursor = database.cursor(connection, rows=class_row(FileRow))
    found: FileRow | None = cursor.execute(_OUTPUTS.format(chosen=_ONE, order="ASC"), where).fetchone()
    if found is None:
        raise NotFound("there is no such file")
    return found


# Of the two comparisons with a place in the list, the first follows from the second, but only it can use an index.
_UPLOADED = """
SELECT id, 0 AS part, filename, purpose, n_bytes, created_at, expires_at, n_lines, false AS lacks_dropped FROM files
WHERE tenant_id = %(tenant)s AND deleted_at IS NULL AND expires_at > now()
  AND (created_at, id) {compared}= (%(created_at)s::timestamptz, %(id)s)
  AND (created_at, id, 0) {compared} (%(created_at)s::timestamptz, %(id)s, %(part)s)
ORDER BY created_at {order}, id {order} LIMIT %(limit)s
"""

# A batch has two files at most. A file without lines is not listed.
_OUTPUTS = """
SELECT batches.id, file.part, '' AS filename, 'batch_output' AS purpose, file.n_bytes, batches.created_at,
       ends.at AS expires_at, 0 AS n_lines, file.lacks_dropped
FROM batches JOIN jobs ON jobs.id = batches.id AND jobs.deleted_at IS NULL
CROSS JOIN LATERAL (
  SELECT jobs.finished_at + make_interval(secs => least(batches.output_seconds, %(retention)s)) AS at
) ends
CROSS JOIN LATERAL (
  SELECT coalesce(sum(hi - lo - n_failed) FILTER (WHERE state = 'done'), 0) AS n_succeeded,
         coalesce(sum(n_failed) FILTER (WHERE state = 'done'), 0) AS n_failed,
         coalesce(sum(hi - lo) FILTER (WHERE state IN ('cancelled', 'expired')), 0) AS n_dropped,
         coalesce(sum(n_bytes), 0)::bigint AS n_bytes, coalesce(sum(n_failed_bytes), 0)::bigint AS n_failed_bytes
  FROM shards WHERE shards.job_id = batches.id
) sums
CROSS JOIN LATERAL (
  SELECT 1 AS part, sums.n_bytes, false AS lacks_dropped WHERE sums.n_succeeded > 0 AND output_deleted_at IS NULL
  UNION ALL
  SELECT 2, sums.n_failed_bytes + coalesce(batches.dropped_bytes, 0),
         sums.n_dropped > 0 AND batches.dropped_bytes IS NULL
  WHERE sums.n_failed + sums.n_dropped > 0 AND error_deleted_at IS NULL
) file
WHERE batches.tenant_id = %(tenant)s AND batches.state = 'accepted' AND (ends.at IS NULL OR ends.at > now())
  AND {chosen}
ORDER BY batches.created_at {order}, batches.id {order}, file.part {order} LIMIT %(limit)s
"""

_ONE = "batches.id = %(id)s AND file.part = %(part)s"

_BEYOND = """
(batches.created_at, batches.id) {compared}= (%(created_at)s::timestamptz, %(id)s)
  AND (batches.created_at, batches.id, file.part) {compared} (%(created_at)s::timestamptz, %(id)s, %(part)s)
"""

#: By purpose. Each gives a whole page, of which the whole list takes the first files.
_STATEMENTS = {"batch": f"({_UPLOADED})", "batch_output": f"({_OUTPUTS.replace('{chosen}', _BEYOND)})"}

_PAGE = "SELECT * FROM ({parts}) file ORDER BY created_at {{order}}, id {{order}}, part {{order}} LIMIT %(limit)s"
