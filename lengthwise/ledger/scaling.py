"""How much work is open and when it is due, and which workers are there: what decides how many there should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from lengthwise import database

#: Due times are counted in steps of a quarter: each step holds those that are up to 1.25 times its first one away.
_STEP = 1.25
#: A worker that was not seen for this long is lost, however seldom workers report themselves.
_LOST_SECONDS = 30.0
#: A worker's rate counts once it has worked for so long.
_LEAST_BUSY_SECONDS = 10.0
#: A worker of an older release knows its rate over the last minute alone, so that counts once it has run for a minute.
_MEASURED_SECONDS = 60.0


class DueTokens(NamedTuple):
    """Input tokens that are due in ``seconds``; negative if they are overdue. ``is_deadline``: they expire then."""

    seconds: float
    tokens: int
    is_deadline: bool


@dataclass(frozen=True, slots=True)
class OpenWork:
    """Input tokens that wait or run, by the time at which they are due, the nearest first."""

    due: tuple[DueTokens, ...]
    #: The mean length of the items of these jobs, those that are done included; 0 if there are none.
    tokens_per_item: float
    #: Those of the tokens that workers hold, and under how many claims. A worker may hold two: the next is prepared.
    running_tokens: int
    n_claims: int

    @property
    def waiting_tokens(self) -> int:
        # A shard may be settled between the two figures.
        return max(sum(each.tokens for each in self.due) - self.running_tokens, 0)


@dataclass(frozen=True, slots=True)
class LiveWorkers:
    """Generation workers that were seen just now and are not stopping, and the mean rate of those that work."""

    count: int
    #: Items a second of one worker while it works, whatever it did between; None if none has worked for long enough.
    items_per_second: float | None


def read_work(connection: Connection, models: Sequence[str], *, drain_seconds: float) -> OpenWork:
    """The open work of these models, of all if none is named. Work without a deadline is due after ``drain_seconds``.

    A job of few shards counts whole until it ends, as in ``lengthwise.ledger.queue.pending``. Reads the row of each
    open job, the tallies of large ones, and the shards that are held.
    """
    cursor = database.cursor(connection)
    # An empty list would not say of which type it is.
    asked = {"models": list(models) or None, "drain": drain_seconds}
    cursor.execute(_DUE, asked)
    rows = cursor.fetchall()
    due = tuple(DueTokens(*row[:3]) for row in rows)
    n_tokens, n_items = sum(row[3] for row in rows), sum(row[4] for row in rows)
    found = cursor.execute(_RUNNING, asked).fetchone()
    running, claims = found or (0, 0)
    return OpenWork(due, n_tokens / max(n_items, 1), running, claims)


def find_workers(connection: Connection, device: str | None = None) -> LiveWorkers:
    """The generation workers whose device begins with ``device``, such as ``cuda``; all of them without it.

    A worker has a device once it has loaded a model.
    """
    cursor = database.cursor(connection)
    limits = {"lost": _LOST_SECONDS, "measured": _MEASURED_SECONDS, "busy": _LEAST_BUSY_SECONDS}
    found = cursor.execute(_WORKERS, {"device": device, **limits}).fetchone()
    return LiveWorkers(*found) if found else LiveWorkers(0, None)


# What a job has left is its tokens without those that its tallies count as done. See ``pending`` for why no shard is
# read. Each step takes its nearest due time. The logarithm of a numeric would take much longer than that of a float8.
# OFFSET 0: the tallies are read once for each job.
_DUE = f"""
SELECT min(seconds), sum(left_tokens)::bigint, is_deadline, sum(n_tokens)::bigint, sum(n_items)::bigint
FROM (
  SELECT n_tokens, n_items, deadline_at IS NOT NULL AS is_deadline,
         extract(epoch FROM coalesce(deadline_at, created_at + make_interval(secs => %(drain)s)) - now())::float8
           AS seconds,
         n_tokens - CASE WHEN is_tallied THEN (
           SELECT coalesce(sum(n_input), 0)::bigint FROM tallies WHERE tallies.job_id = jobs.id)
         ELSE 0 END AS left_tokens
  FROM jobs WHERE state = 'open' AND (%(models)s::text[] IS NULL OR model = ANY(%(models)s))
  OFFSET 0
) open
WHERE left_tokens > 0
GROUP BY is_deadline, floor(ln(greatest(seconds, 1)) / ln({_STEP}::float8))
ORDER BY min(seconds)
"""  # noqa: S608 - built from constants

# The comparison with -infinity is always true. With OFFSET 0, it lets the planner use the index of leased shards
# whatever it estimates.
_RUNNING = """
SELECT coalesce(sum(leased.n_tokens), 0)::bigint, count(DISTINCT leased.token)::int
FROM (
  SELECT job_id, n_tokens, token FROM shards WHERE state = 'leased' AND lease_until > '-infinity' OFFSET 0
) leased JOIN jobs ON jobs.id = leased.job_id
WHERE %(models)s::text[] IS NULL OR jobs.model = ANY(%(models)s)
"""

_WORKERS = """
SELECT count(*)::int,
       avg(rate) FILTER (WHERE state = 'working' AND rate > 0)::float8
FROM (
  SELECT role, state, device, seen_at,
         CASE WHEN busy_seconds >= %(busy)s THEN items_per_busy_second
              WHEN busy_seconds IS NULL AND started_at <= now() - make_interval(secs => %(measured)s)
                THEN items_per_second END AS rate
  FROM workers
) worker
WHERE role = 'generate' AND state <> 'stopping' AND seen_at > now() - make_interval(secs => %(lost)s)
  AND (%(device)s::text IS NULL OR starts_with(device, %(device)s))
"""
