"""What each key did on each day (UTC). Requests are counted as they are made, and a job's work once the job has ended.

Requests are counted in the table ``usage``, and work by its model in ``model_usage``. The sweep counts each job once,
shortly after its end. If settling counted instead, all workers would contend for the same rows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger import tally


class UsageGroup(StrEnum):
    """What usage may be summed by. Each is a column."""

    DAY = "day"
    KEY = "key_id"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was done in one group. A column that nothing is summed by is None."""

    day: date | None
    key_id: UUID | None
    #: Empty for requests, and for work that was counted without its model.
    model: str | None
    requests: int
    items: int
    input_tokens: int
    output_tokens: int


def add_requests(connection: Connection, counts: Mapping[tuple[UUID, UUID], int]) -> None:
    """Adds to today's requests. ``counts`` is by tenant and key, and not empty."""
    rows = sorted((tenant, key, count) for (tenant, key), count in counts.items())
    tenants, keys, numbers = map(list, zip(*rows, strict=True))
    database.cursor(connection).execute(_ADD_REQUESTS, {"tenants": tenants, "keys": keys, "counts": numbers})


def add_ended_jobs(connection: Connection, *, limit: int) -> int:
    """Adds the work of at most ``limit`` ended jobs to the usage of their keys. Returns the number of jobs."""
    cursor = database.cursor(connection)
    row = cursor.execute(_COUNT_ENDED, {"limit": limit}).fetchone()
    return int(row[0]) if row else 0


def sums(
    connection: Connection, tenant_id: UUID, first: date, last: date, by: Collection[UsageGroup]
) -> list[UsageRow]:
    """A tenant's usage from the first to the last day, both included, summed and ordered by these columns."""
    columns = ", ".join(group if group in by else f"NULL AS {group}" for group in UsageGroup)
    grouping = ", ".join(group for group in UsageGroup if group in by)
    statement = _OF_TENANT.format(columns=columns, grouping=grouping)
    cursor = database.cursor(connection, rows=class_row(UsageRow))
    return cursor.execute(statement, {"tenant": tenant_id, "first": first, "last": last}).fetchall()


# Rows are written in order of their key, here and below, so that two statements never wait for each other.
_ADD_REQUESTS = """
INSERT INTO usage AS kept (tenant_id, day, key_id, requests)
SELECT tenant_id, (now() AT TIME ZONE 'UTC')::date, key_id, n
FROM unnest(%(tenants)s::uuid[], %(keys)s::uuid[], %(counts)s::bigint[]) AS new (tenant_id, key_id, n)
WHERE EXISTS (SELECT FROM tenants WHERE tenants.id = new.tenant_id)
ORDER BY tenant_id, key_id
ON CONFLICT (tenant_id, day, key_id) DO UPDATE SET requests = kept.requests + excluded.requests
"""

_COUNT_ENDED = f"""
WITH ended AS (
  UPDATE jobs SET usage_due = false
  WHERE id = ANY(ARRAY(SELECT id FROM jobs WHERE usage_due AND finished_at IS NOT NULL
                       ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
  RETURNING id, tenant_id, key_id, model, is_tallied, state, n_items, created_at,
            (finished_at AT TIME ZONE 'UTC')::date AS day
), counted AS (
  INSERT INTO model_usage AS kept (tenant_id, day, key_id, model, items, input_tokens, output_tokens)
  SELECT tenant_id, day, key_id, model, sum(n_done), sum(n_input), sum(n_output)
  FROM ended jobs CROSS JOIN LATERAL ({tally.SUMS}) done
  GROUP BY tenant_id, day, key_id, model ORDER BY tenant_id, day, key_id, model
  ON CONFLICT (tenant_id, day, key_id, model) DO UPDATE
  SET items = kept.items + excluded.items, input_tokens = kept.input_tokens + excluded.input_tokens,
      output_tokens = kept.output_tokens + excluded.output_tokens
)
SELECT count(*) FROM ended
"""  # noqa: S608 - built from a constant""

_OF_TENANT = """
SELECT {columns}, sum(requests)::bigint AS requests, sum(items)::bigint AS items,
       sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens
FROM (
  SELECT day, key_id, '' AS model, requests, items, input_tokens, output_tokens FROM usage
  WHERE tenant_id = %(tenant)s AND day BETWEEN %(first)s AND %(last)s
  UNION ALL
  SELECT day, key_id, model, 0, items, input_tokens, output_tokens FROM model_usage
  WHERE tenant_id = %(tenant)s AND day BETWEEN %(first)s AND %(last)s
) used
GROUP BY {grouping} ORDER BY {grouping}
"""
