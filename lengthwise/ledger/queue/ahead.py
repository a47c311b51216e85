"""What is served before a new job's last item, by the rules of the fair queue."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database


class QueuedTokens(NamedTuple):
    """Input tokens of one tenant, weight ``weight``, that wait or run with one priority."""

    tenant_id: UUID
    priority: int
    weight: float
    n_tokens: int


def read(connection: Connection, models: Sequence[str], least: int) -> list[QueuedTokens]:
    """What waits or runs for these models with priority ``least`` or a more urgent one. Reads each open job once."""
    cursor = database.cursor(connection)
    rows = cursor.execute(_QUEUED, {"models": list(models), "least": least}).fetchall()
    return [QueuedTokens(*row) for row in rows]


def weight_of(connection: Connection, tenant_id: UUID) -> float:
    """The tenant's share of the work, relative to that of others."""
    [(weight,)] = database.cursor(connection).execute(_WEIGHT, {"tenant": tenant_id}).fetchall()
    return float(weight)


def tokens_ahead(own: QueuedTokens, queued: Sequence[QueuedTokens]) -> int:
    """The tokens that are served before the last token of a new job ``own``, if nothing else arrives.

    What is more urgent goes first, and the tenant's own earlier work. Meanwhile each other tenant gets its share, at
    most as much as it has waiting.
    """
    urgent = sum(each.n_tokens for each in queued if each.priority < own.priority)
    same = [each for each in queued if each.priority == own.priority]
    earlier = sum(each.n_tokens for each in same if each.tenant_id == own.tenant_id)
    turn = (earlier + own.n_tokens) / own.weight
    others = sum(min(each.n_tokens, turn * each.weight) for each in same if each.tenant_id != own.tenant_id)
    return round(urgent + earlier + others)


_WEIGHT = "SELECT weight FROM tenants WHERE id = %(tenant)s"

# A job of few shards counts whole until it ends.
_QUEUED = """
SELECT tenant_id, priority, weight, sum(n_open)::bigint FROM (
  SELECT jobs.tenant_id, coalesce(jobs.urgency, jobs.priority) AS priority, tenants.weight,
         jobs.n_tokens - CASE WHEN jobs.is_tallied THEN (
           SELECT coalesce(sum(n_input), 0)::bigint FROM tallies WHERE tallies.job_id = jobs.id) ELSE 0 END AS n_open
  FROM jobs JOIN tenants ON tenants.id = jobs.tenant_id
  WHERE jobs.state = 'open' AND jobs.deleted_at IS NULL AND jobs.model = ANY(%(models)s)
    AND coalesce(jobs.urgency, jobs.priority) <= %(least)s
) open GROUP BY tenant_id, priority, weight
"""
