"""One list of all files of a tenant: uploaded ones, and the output and error files of its batches."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
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
    is_ascending: bool = False,
) -> list[FileRow]:
    """Files of the purpose ``batch`` (uploaded) or ``batch_output``, or with None both; newest first unless ascending.

    For a batch's file ``n_bytes`` counts its settled lines, and ``expires_at`` is None because it is not known here.
    """
    found: list[FileRow] = []
    cursor = database.cursor(connection, rows=class_row(FileRow))
    compared, order = (">", "ASC") if is_ascending else ("<", "DESC")
    where = {
        "tenant": tenant_id,
        "limit": limit,
        "at": after and after.created_at,
        "id": after and after.id,
        "part": after and after.part,
    }
    statements = {"batch": [_UPLOADED], "batch_output": [_OUTPUTS]}.get(purpose or "", [_UPLOADED, _OUTPUTS])
    for statement in statements:
        found += cursor.execute(statement.format(compared=compared, order=order), where).fetchall()
    found.sort(key=lambda file: (file.created_at, file.id, file.part), reverse=not is_ascending)
    return found[:limit]


_UPLOADED = """
SELECT id, 0 AS part, filename, purpose, n_bytes, created_at, expires_at, n_lines FROM files
WHERE tenant_id = %(tenant)s AND deleted_at IS NULL AND expires_at > now()
  AND (%(at)s::timestamptz IS NULL OR (created_at, id, 0) {compared} (%(at)s, %(id)s::uuid, %(part)s::int))
ORDER BY created_at {order}, id {order} LIMIT %(limit)s
"""

# A batch has two files at most. A file without lines is not listed.
_OUTPUTS = """
SELECT batches.id, file.part, '' AS filename, 'batch_output' AS purpose, file.n_bytes, batches.created_at,
       NULL::timestamptz AS expires_at
FROM batches JOIN jobs ON jobs.id = batches.id AND jobs.deleted_at IS NULL
CROSS JOIN LATERAL (
  SELECT coalesce(sum(hi - lo - n_failed) FILTER (WHERE state = 'done'), 0) AS n_succeeded,
         coalesce(sum(CASE WHEN state = 'done' THEN n_failed
                           WHEN state IN ('cancelled', 'expired') THEN hi - lo END), 0) AS n_failed,
         coalesce(sum(n_bytes), 0)::bigint AS n_bytes, coalesce(sum(n_failed_bytes), 0)::bigint AS n_failed_bytes
  FROM shards WHERE shards.job_id = batches.id
) sums
CROSS JOIN LATERAL (
  SELECT 1 AS part, sums.n_bytes WHERE sums.n_succeeded > 0 AND output_deleted_at IS NULL
  UNION ALL
  SELECT 2, sums.n_failed_bytes WHERE sums.n_failed > 0 AND error_deleted_at IS NULL
) file
WHERE batches.tenant_id = %(tenant)s AND batches.state = 'accepted'
  AND (batches.output_seconds IS NULL OR jobs.finished_at IS NULL
       OR jobs.finished_at + make_interval(secs => batches.output_seconds) > now())
  AND (%(at)s::timestamptz IS NULL
       OR (batches.created_at, batches.id, file.part) {compared} (%(at)s, %(id)s::uuid, %(part)s::int))
ORDER BY batches.created_at {order}, batches.id {order}, file.part {order} LIMIT %(limit)s
"""
