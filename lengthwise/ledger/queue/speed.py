"""How fast a model works at present, in input tokens a second over all workers: by what was settled, or by its workers.

Both cost the same at any number of jobs and shards.
"""

from typing import Any

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger import tally, workers

#: Work of no more than two intervals says too little: one small job would seem slow.
_LEAST_SECONDS = 2 * tally.INTERVAL_SECONDS


def measured(connection: Connection, model: str) -> float | None:
    """Over the last minute, from the first to the last shard of this model; None if these are less than 10 s apart.

    It counts jobs that a worker holds, and jobs that ended within the minute: at most a few hundred of each.
    """
    return _number(connection, _MEASURED, {"model": model, "least": _LEAST_SECONDS})


def of_workers(connection: Connection, model: str, presence_seconds: float) -> float | None:
    """What the live workers that work on this model say; None if there is none. They report every so many seconds."""
    lost_after = workers.lost_after(presence_seconds)
    return _number(connection, _OF_WORKERS, {"model": model, "lost_after": lost_after})


def _number(connection: Connection, statement: str, params: dict[str, Any]) -> float | None:
    found = database.cursor(connection).execute(statement, params).fetchone()
    return found[0] if found and found[0] else None


# OFFSET 0 keeps the planner from joining with all shards.
_MEASURED = f"""
WITH worked AS MATERIALIZED (
  SELECT job_id FROM (SELECT job_id FROM shards WHERE state = 'leased' ORDER BY lease_until DESC LIMIT 1000) held
  UNION
  SELECT id FROM (SELECT id FROM jobs WHERE finished_at >= {tally.RECENT_SINCE} AND deleted_at IS NULL
                  ORDER BY finished_at DESC LIMIT 200) ended
), settled AS (
  SELECT part.* FROM worked JOIN jobs ON jobs.id = worked.job_id
  CROSS JOIN LATERAL ({tally.RECENT_TOKENS} OFFSET 0) part WHERE jobs.model = %(model)s
), whole AS (
  SELECT sum(n_tokens) AS n_tokens,
         least(extract(epoch FROM now()), (max(period) + 1) * {tally.INTERVAL_SECONDS})
           - min(period) * {tally.INTERVAL_SECONDS} AS seconds
  FROM settled
)
SELECT n_tokens / seconds::float8 FROM whole WHERE seconds > %(least)s
"""  # noqa: S608 - built from constants

_OF_WORKERS = """
SELECT sum(items_per_second * n_tokens / n_items)::float8 FROM workers
WHERE role = 'generate' AND state <> 'stopping' AND model = %(model)s AND n_items > 0
  AND seen_at > now() - make_interval(secs => %(lost_after)s)
"""
