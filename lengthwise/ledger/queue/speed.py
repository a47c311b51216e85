"""How fast a model works at present, by what was settled. The cost is the same at any number of jobs and shards."""

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger import tally

#: Work of no more than two intervals says too little: one small job would seem slow.
_LEAST_SECONDS = 2 * tally.INTERVAL_SECONDS


def measured(connection: Connection, model: str) -> float | None:
    """Input tokens a second over all workers in the last minute; None if the model worked for less than 10 s of it.

    It counts jobs that a worker holds, and jobs that ended within the minute: at most a few hundred of each.
    """
    found = database.cursor(connection).execute(_MEASURED, {"model": model, "least": _LEAST_SECONDS}).fetchone()
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
