"""What the ledger knows of a job that is not done: its open shards, what waits before them, and webhooks.

Every statement reads a limited number of rows, however many shards wait.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database

#: Open shards of the job that are looked at, leased ones first; and its pools, of which most jobs have one.
_OPEN_SHARDS = 1_000
_POOLS = 8
#: Shards at the head of a queue among which the job's first one is sought. Beyond it, "at least so many" come first.
#: Each is a row in a table that changes all the time: 1,000 of them are some 60,000 items, and 10 to 20 ms.
MOST_AHEAD = 1_000
#: Pools that are asked for work that comes first, and shards at the head of each: the first ones may be put off.
_OTHER_POOLS = 200
_HEADS = 100
#: Deliveries of the job.
_MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class PoolShards:
    """The open shards of a job in one pool, and what comes before the first of them that may be claimed now."""

    pool: str
    priority: int
    #: Held under a lease that has not run out: shards that nobody died over, and suspects.
    n_held: int
    n_held_suspects: int
    #: Held under a lease that has run out.
    n_expired: int
    n_ready: int
    #: Of the ready ones: those that may be claimed now, and the suspects among these.
    n_claimable: int
    n_suspects: int
    #: The most workers that died over one of them, the most failures that may pass, and when the next may be claimed.
    deaths: int
    attempts: int
    next_at: datetime | None
    #: Of the leases that have not run out.
    tokens: list[UUID]
    #: What may be claimed now and comes first in the queue of this pool, the more urgent priorities included.
    n_ahead: int
    n_tokens_ahead: int
    n_tenants_ahead: int
    n_urgent_ahead: int
    #: The share of the work that this tenant gets while those tenants have some.
    share: float
    #: Whether the job's first shard was not found, so that at least so much comes first.
    is_beyond: bool


@dataclass(frozen=True, slots=True)
class WaitingWebhooks:
    """The webhooks of a job that are still to be sent."""

    n_pending: int
    #: Those of them that a worker sends at this moment.
    n_sending: int
    #: Whether settled results are still to be made into webhooks.
    has_pushes: bool
    #: Of the one that is due first: when, its attempts so far, and the receiver's last status, if it answered.
    next_at: datetime | None
    attempts: int
    status: int | None


class Asked:
    """Statements that were sent. In a pipeline, the first answer that is read waits for all of them."""

    def __init__(self, connection: Connection, job_id: UUID) -> None:
        self._connection = connection
        self._job = {"job": job_id}

    def _ask(self, statement: str, rows: Any, values: dict[str, Any]) -> Any:
        return database.cursor(self._connection, rows=rows).execute(statement, values)

    def ask_shards(self) -> None:
        limits = {"open": _OPEN_SHARDS, "pools": _POOLS, "ahead": MOST_AHEAD}
        self._shards = self._ask(_SHARDS, class_row(PoolShards), self._job | limits)
        self._others = database.cursor(self._connection)
        self._others.execute(_WAITING, {"pools": _OTHER_POOLS, "heads": _HEADS})

    def ask_webhooks(self) -> None:
        self._webhooks = self._ask(_WEBHOOKS, class_row(WaitingWebhooks), self._job | {"limit": _MOST_ROWS})

    def shards(self) -> list[PoolShards]:
        found: list[PoolShards] = self._shards.fetchall()
        return found

    def waiting(self) -> dict[str, int]:
        """Every pool with work that may be claimed now, and the most urgent priority of it."""
        return dict(self._others.fetchall())

    def webhooks(self) -> WaitingWebhooks:
        found: WaitingWebhooks = self._webhooks.fetchall()[0]
        return found


# - The first scan begins with the leased shards: the index of open shards holds 'leased' before 'ready'. As in
#   ``job_figures``, a condition on one state would let the planner read every worker's leased shards.
# - The queue is read from its head in the order of claims. Shards that are as long as the first may be claimed with it,
#   out of this order, so a job begins no later than its place says. The limit is inside: shards that were put off must
#   not make it read on for ever.
# - OFFSET 0 keeps the planner from reading all jobs for the join.
_SHARDS = """
WITH open AS MATERIALIZED (
  SELECT pool, priority, state, token, coalesce(lease_until > now(), false) AS is_live, deaths, attempts, not_before
  FROM shards WHERE job_id = %(job)s AND state IN ('ready', 'leased') ORDER BY state LIMIT %(open)s
), mine AS MATERIALIZED (
  SELECT pool, min(priority) AS priority,
         count(*) FILTER (WHERE state = 'leased' AND is_live AND deaths <= 1) AS n_held,
         count(*) FILTER (WHERE state = 'leased' AND is_live AND deaths > 1) AS n_held_suspects,
         count(*) FILTER (WHERE state = 'leased' AND NOT is_live) AS n_expired,
         count(*) FILTER (WHERE state = 'ready') AS n_ready,
         count(*) FILTER (WHERE state = 'ready' AND not_before <= now()) AS n_claimable,
         count(*) FILTER (WHERE state = 'ready' AND not_before <= now() AND deaths > 0) AS n_suspects,
         max(CASE WHEN state = 'leased' AND is_live THEN deaths - 1 ELSE deaths END) AS deaths,
         coalesce(max(attempts) FILTER (WHERE state = 'ready'), 0) AS attempts,
         min(not_before) FILTER (WHERE state = 'ready' AND not_before > now()) AS next_at,
         coalesce(array_agg(DISTINCT token) FILTER (WHERE state = 'leased' AND is_live), '{}') AS tokens
  FROM open GROUP BY pool ORDER BY pool LIMIT %(pools)s
)
SELECT mine.*, ahead.* FROM mine CROSS JOIN LATERAL (
  WITH queue AS MATERIALIZED (
    SELECT job_id, priority, vkey, id, n_tokens, not_before <= now() AS is_due FROM shards
    WHERE shards.pool = mine.pool AND state = 'ready' AND hi > lo AND mine.n_claimable > 0
    ORDER BY priority, vkey, id LIMIT %(ahead)s
  ), first AS MATERIALIZED (
    SELECT priority, vkey, id FROM queue WHERE job_id = %(job)s AND is_due ORDER BY priority, vkey, id LIMIT 1
  ), before AS MATERIALIZED (
    SELECT job_id, count(*) AS n, sum(n_tokens) AS tokens, count(*) FILTER (WHERE priority < mine.priority) AS urgent
    FROM queue
    WHERE is_due AND job_id <> %(job)s
      AND (NOT EXISTS (SELECT FROM first) OR (priority, vkey, id) < (SELECT priority, vkey, id FROM first))
    GROUP BY job_id
  ), owned AS MATERIALIZED (
    SELECT before.*, owner.tenant_id FROM before CROSS JOIN LATERAL (
      SELECT tenant_id FROM jobs WHERE jobs.id = before.job_id OFFSET 0
    ) owner
  ), me AS MATERIALIZED (SELECT tenants.id, weight FROM jobs JOIN tenants ON tenants.id = tenant_id
                         WHERE jobs.id = %(job)s)
  SELECT coalesce(sum(n), 0)::bigint AS n_ahead, coalesce(sum(tokens), 0)::bigint AS n_tokens_ahead,
         count(DISTINCT tenant_id) AS n_tenants_ahead, coalesce(sum(urgent), 0)::bigint AS n_urgent_ahead,
         coalesce((SELECT weight FROM me) / (SELECT sum(weight) FROM tenants
                                             WHERE id IN (SELECT tenant_id FROM owned UNION SELECT id FROM me)), 1)
           AS share,
         mine.n_claimable > 0 AND NOT EXISTS (SELECT FROM first) AS is_beyond
  FROM owned
) ahead
"""

# A loose index scan, as that of the sweep.
_WAITING = """
WITH RECURSIVE pools AS (
  (SELECT pool FROM shards WHERE state = 'ready' ORDER BY pool LIMIT 1)
  UNION ALL
  SELECT (SELECT shards.pool FROM shards WHERE state = 'ready' AND shards.pool > pools.pool
          ORDER BY shards.pool LIMIT 1)
  FROM pools WHERE pools.pool IS NOT NULL
)
SELECT pool, head.priority FROM (SELECT pool FROM pools WHERE pool IS NOT NULL LIMIT %(pools)s) pools
CROSS JOIN LATERAL (
  SELECT min(priority) AS priority FROM (
    SELECT priority, not_before FROM shards WHERE shards.pool = pools.pool AND state = 'ready' AND hi > lo
    ORDER BY priority, vkey, id LIMIT %(heads)s
  ) first WHERE not_before <= now()
) head
WHERE head.priority IS NOT NULL
"""

_WEBHOOKS = """
WITH waiting AS MATERIALIZED (
  SELECT id, token, next_attempt_at, attempts FROM (
    SELECT id, token, next_attempt_at, attempts, state FROM deliveries WHERE job_id = %(job)s LIMIT %(limit)s
  ) written WHERE state = 'pending'
), due AS MATERIALIZED (SELECT * FROM waiting ORDER BY next_attempt_at, id LIMIT 1)
SELECT (SELECT count(*) FROM waiting) AS n_pending,
       (SELECT count(*) FROM waiting WHERE token IS NOT NULL AND next_attempt_at > now()) AS n_sending,
       EXISTS (SELECT FROM pushes WHERE job_id = %(job)s) AS has_pushes,
       (SELECT next_attempt_at FROM due) AS next_at, coalesce((SELECT attempts FROM due), 0) AS attempts,
       (SELECT status FROM attempts WHERE delivery_id = (SELECT id FROM due) ORDER BY n DESC LIMIT 1) AS status
"""
