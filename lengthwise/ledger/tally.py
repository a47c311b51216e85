"""A job's figures. A large job keeps running totals in a few rows, so that reading them costs the same at any size.

A settlement adds its shards to one of the job's tallies, in the same statement that settles them. It takes a tally that
no other transaction holds, or makes a new one: so settlements never wait for each other, and a job has as many tallies
as ever settled shards of it at the same instant. The sums over them are exact in every snapshot.

A job of few shards has no tallies; its figures are sums over its shards. ``shards.is_tallied`` is NULL for its shards.
It is false for a shard whose figures are not in a tally yet, and becomes true with its settlement. A shard that a
worker of an older release settles stays false, and is then summed beside the tallies.
"""

#: A job of more shards than this has tallies. Fewer shards lie on few pages.
MANY_SHARDS = 32

#: The rate of a job is measured over so many intervals of so many seconds, the present one included.
_INTERVALS = 12
_SECONDS = 5

_NOW = f"floor(extract(epoch FROM now()) / {_SECONDS})::bigint"
#: The beginning of the first of these intervals.
_SINCE = f"to_timestamp(({_NOW} - {_INTERVALS - 1}) * {_SECONDS})"

_ADDED = (
    "n_done",
    "n_failed",
    "n_input",
    "n_output",
    "n_padded",
    "n_batches",
    "n_deduplicated",
    "used_input",
    "used_output",
    "n_bytes",
    "n_failed_bytes",
)
_OF_SHARD = {"n_done": "hi - lo", "n_input": "n_tokens"}


def _merged(maps: str) -> str:
    """The sums by key of a JSON array of objects; NULL if it is empty."""
    return f"""(
    SELECT jsonb_object_agg(code, n) FROM (
      SELECT code, sum(n::int)::int AS n
      FROM jsonb_array_elements({maps}) AS warned (codes), jsonb_each_text(codes) AS each (code, n) GROUP BY code
    ) warning)"""  # noqa: S608 - built from constants, like the others here


def _interval(place: str, latest: str) -> str:
    """The latest interval up to ``latest`` whose items are counted at this place, from 0, of a tally's ``recent``."""
    return f"{latest} - mod({latest} - {place}, {_INTERVALS})"


#: The sums over one row of ``jobs``, for LATERAL. Items that never ran are those that were not done as the job ended.
#: Of its three branches at most two have rows. The first is a job of few shards, which has no tallies. The second is
#: what a worker of an older release has settled of a job with tallies, during an upgrade: no tally counts it.
SUMS = f"""
SELECT coalesce(sum(n_done), 0)::int AS n_done,
       CASE WHEN jobs.state IN ('cancelled', 'expired') THEN jobs.n_items - coalesce(sum(n_done), 0)
            ELSE 0 END::int AS n_dropped,
       coalesce(sum(n_failed), 0)::int AS n_failed,
       coalesce(sum(n_recent), 0)::int AS n_recent,
       least(extract(epoch FROM now() - {_SINCE}), extract(epoch FROM now() - jobs.created_at))::float8
         AS recent_seconds,
       coalesce(sum(n_input), 0)::bigint AS n_input,
       coalesce(sum(n_output), 0)::bigint AS n_output,
       coalesce(sum(n_padded), 0)::bigint AS n_padded,
       coalesce(sum(n_batches), 0)::float8 AS n_batches,
       coalesce(sum(n_deduplicated), 0)::int AS n_deduplicated,
       coalesce(sum(used_input), 0)::bigint AS used_input,
       coalesce(sum(used_output), 0)::bigint AS used_output,
       coalesce(sum(n_bytes), 0)::bigint AS n_bytes,
       coalesce(sum(n_failed_bytes), 0)::bigint AS n_failed_bytes,
       coalesce({_merged("jsonb_agg(n_warned) FILTER (WHERE n_warned IS NOT NULL)")}, '{{}}') AS n_warned
FROM (
  SELECT {", ".join(f"{_OF_SHARD.get(name, name)} AS {name}" for name in _ADDED)}, n_warned,
         CASE WHEN settled_at >= {_SINCE} THEN hi - lo END AS n_recent
  FROM shards WHERE shards.job_id = jobs.id AND NOT jobs.is_tallied AND shards.state = 'done'
  UNION ALL
  SELECT {", ".join(_OF_SHARD.get(name, name) for name in _ADDED)}, n_warned,
         CASE WHEN settled_at >= {_SINCE} THEN hi - lo END
  FROM shards WHERE shards.job_id = jobs.id AND jobs.is_tallied AND shards.state = 'done' AND NOT shards.is_tallied
  UNION ALL
  SELECT {", ".join(_ADDED)}, n_warned,
         (SELECT sum(n) FROM unnest(recent) WITH ORDINALITY AS counted (n, place)
          WHERE {_interval("(place - 1)", "recent_at")} > {_NOW} - {_INTERVALS})
  FROM tallies WHERE tallies.job_id = jobs.id AND jobs.is_tallied
) part
"""  # noqa: S608

#: The input tokens that were settled in each of the last intervals, of one row of ``jobs``, for LATERAL. In a tally, an
#: interval has a number of items; they count as the job's average item.
RECENT_TOKENS = f"""
SELECT floor(extract(epoch FROM settled_at) / {_SECONDS})::bigint AS period, n_tokens::float8 AS n_tokens
FROM shards WHERE shards.job_id = jobs.id AND NOT jobs.is_tallied AND shards.state = 'done' AND settled_at >= {_SINCE}
UNION ALL
SELECT {_interval("(place - 1)", "recent_at")}, n * n_input::float8 / n_done
FROM tallies CROSS JOIN LATERAL unnest(recent) WITH ORDINALITY AS counted (n, place)
WHERE tallies.job_id = jobs.id AND jobs.is_tallied AND n > 0
  AND {_interval("(place - 1)", "recent_at")} > {_NOW} - {_INTERVALS}
"""  # noqa: S608
#: Since when they are counted, and how long an interval is, in seconds.
RECENT_SINCE, INTERVAL_SECONDS = _SINCE, _SECONDS

#: Expressions that add ``settled``, the rows of shards that were settled just now, to their jobs' tallies.
ADD = f"""
added AS MATERIALIZED (
  SELECT job_id, {", ".join(f"sum({_OF_SHARD.get(name, name)}) AS {name}" for name in _ADDED)},
         floor(extract(epoch FROM max(settled_at)) / {_SECONDS})::bigint AS recent_at,
         coalesce(jsonb_agg(n_warned) FILTER (WHERE n_warned IS NOT NULL), '[]') AS warned
  FROM settled WHERE is_tallied GROUP BY job_id
), free AS MATERIALIZED (
  SELECT tally.job_id, tally.slot FROM added CROSS JOIN LATERAL (
    SELECT tallies.job_id, slot FROM tallies WHERE tallies.job_id = added.job_id
    ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED
  ) tally
), raised AS (
  UPDATE tallies
  SET {", ".join(f"{name} = tallies.{name} + added.{name}" for name in _ADDED)},
      n_warned = CASE WHEN added.warned = '[]' THEN tallies.n_warned
                      ELSE {_merged("added.warned || coalesce(tallies.n_warned, '{}')")} END,
      recent_at = greatest(tallies.recent_at, added.recent_at),
      recent = ARRAY(
        SELECT CASE WHEN {_interval("place", "greatest(tallies.recent_at, added.recent_at)")} <= tallies.recent_at
                    THEN tallies.recent[place + 1] ELSE 0 END
             + CASE WHEN {_interval("place", "greatest(tallies.recent_at, added.recent_at)")}
                         = greatest(tallies.recent_at, added.recent_at) THEN added.n_done ELSE 0 END
        FROM generate_series(0, {_INTERVALS - 1}) place ORDER BY place)
  FROM added JOIN free USING (job_id) WHERE tallies.job_id = free.job_id AND tallies.slot = free.slot
), begun AS (
  INSERT INTO tallies (job_id, slot, {", ".join(_ADDED)}, n_warned, recent_at, recent)
  SELECT job_id, pg_current_xact_id()::text::bigint, {", ".join(_ADDED)}, {_merged("warned")}, recent_at,
         ARRAY(SELECT CASE WHEN place = mod(recent_at, {_INTERVALS}) THEN n_done ELSE 0 END
               FROM generate_series(0, {_INTERVALS - 1}) place ORDER BY place)
  FROM added WHERE job_id NOT IN (SELECT job_id FROM free)
)
"""  # noqa: S608
