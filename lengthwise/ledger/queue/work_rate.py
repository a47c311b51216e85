"""How much was done in each of the last intervals, summed over the generation workers. The sweep adds the intervals.

Each worker reports what it has done since it started (``lengthwise.ledger.workers``). An interval is the difference
between two looks at these reports. So nothing is written where items are settled, and nothing is summed over jobs. What
a worker does after its last report, of which there is one every few seconds, is in no interval.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from lengthwise import database

#: The length of an interval, and how many are kept: a day of them.
INTERVAL_SECONDS = 10
_KEPT = 86_400 // INTERVAL_SECONDS


class WorkRate(NamedTuple):
    """One interval: its end, its length, and the items and the input and output tokens that were done in it."""

    at: datetime
    seconds: float
    n_items: int
    n_tokens: int


def add(connection: Connection) -> None:
    """Adds the interval that ends now, unless another sweep added one within these ten seconds."""
    cursor = database.cursor(connection)
    slots = {"interval": INTERVAL_SECONDS, "kept": _KEPT}
    cursor.execute(_ADD, slots)
    cursor.execute(_FORGET, slots)


def read(connection: Connection, *, seconds: int) -> list[WorkRate]:
    """The intervals of the last ``seconds``, the oldest first."""
    cursor = database.cursor(connection)
    cursor.execute(_READ, {"interval": INTERVAL_SECONDS, "slots": seconds // INTERVAL_SECONDS})
    return [WorkRate(*row) for row in cursor.fetchall()]


_SLOT = "floor(extract(epoch FROM now()) / %(interval)s)::bigint"

# Only the latest row has counters: what each worker had done by then. A worker that started later is counted whole. One
# that is missing there for another reason, such as a crash that emptied the table of workers, is not counted yet.
_ADD = f"""
WITH last AS MATERIALIZED (
  SELECT slot, at, counters FROM rates_of_work ORDER BY slot DESC LIMIT 1
), worker AS MATERIALIZED (
  SELECT id::text, started_at, n_items, n_tokens FROM workers WHERE role = 'generate'
), done AS (
  SELECT coalesce(sum(CASE WHEN last.counters ? worker.id
                           THEN greatest(0, worker.n_items - (last.counters->worker.id->>0)::bigint)
                           WHEN worker.started_at >= last.at THEN worker.n_items ELSE 0 END), 0) AS n_items,
         coalesce(sum(CASE WHEN last.counters ? worker.id
                           THEN greatest(0, worker.n_tokens - (last.counters->worker.id->>1)::bigint)
                           WHEN worker.started_at >= last.at THEN worker.n_tokens ELSE 0 END), 0) AS n_tokens,
         coalesce(jsonb_object_agg(worker.id, jsonb_build_array(worker.n_items, worker.n_tokens)), '{{}}') AS counters
  FROM worker LEFT JOIN last ON true
), added AS (
  INSERT INTO rates_of_work (slot, at, seconds, n_items, n_tokens, counters)
  SELECT {_SLOT}, now(), coalesce((SELECT extract(epoch FROM now() - at) FROM last), 0), n_items, n_tokens, counters
  FROM done
  ON CONFLICT (slot) DO NOTHING RETURNING slot
)
UPDATE rates_of_work SET counters = NULL WHERE slot = (SELECT slot FROM last) AND EXISTS (SELECT FROM added)
"""  # noqa: S608 - built from a constant, like the others

_FORGET = f"DELETE FROM rates_of_work WHERE slot < {_SLOT} - %(kept)s"  # noqa: S608

_READ = f"""
SELECT at, seconds, n_items, n_tokens FROM rates_of_work
WHERE slot > {_SLOT} - %(slots)s AND seconds > 0 ORDER BY slot
"""  # noqa: S608
