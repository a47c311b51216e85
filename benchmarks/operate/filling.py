"""Fills a database by statements alone, as if callers and workers had done it: jobs of all states, and waiting shards.

There are no items and no results: nothing that is measured reads them.
"""

from dataclasses import dataclass
from uuid import UUID

from lengthwise import database
from lengthwise.database import Database

#: Jobs whose many shards wait. Together they hold all shards but those of the small jobs, which have one each.
LARGE_JOBS = 20
#: The key of two in a hundred jobs.
KEY = UUID(int=7)


@dataclass(frozen=True, slots=True)
class InstallationSize:
    """How much there is: small jobs, those of them that are open, and the shards of large jobs, all of which wait."""

    jobs: int
    open_jobs: int
    shards: int


@dataclass(frozen=True, slots=True)
class KnownJobs:
    """Three jobs to ask for: one that workers hold, one behind all large ones in its queue, and one that has ended."""

    running: UUID
    last: UUID
    ended: UUID


def fill(connected: Database, size: InstallationSize) -> KnownJobs:
    """Fills an empty, migrated database, and lets Postgres gather its statistics, as autovacuum would."""
    values = {
        "jobs": size.jobs,
        "every": max(1, size.jobs // max(1, size.open_jobs)),
        "large": LARGE_JOBS,
        "shards": max(1, size.shards // LARGE_JOBS),
        "key": KEY,
    }
    with connected.begin() as connection:
        cursor = database.cursor(connection)
        cursor.execute("SET LOCAL statement_timeout = 0")
        for statement in _FILL:
            cursor.execute(statement, values)
    with connected.asking() as connection:
        cursor = database.cursor(connection)
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")
        [known] = cursor.execute(_KNOWN).fetchall()
    return KnownJobs(*known)


# A job is made every tenth of a second. Three models share them, and three priorities; every tag but one is on all.
_JOBS = """
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded, chunk_items,
                  created_at, finished_at, key_id, name, tags)
SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001',
       CASE WHEN n %% 2 = 0 THEN 'generate' ELSE 'translate' END, 'model-' || n %% 3, '{}', n / 3 %% 3,
       CASE WHEN n %% %(every)s = 0 THEN 'open' WHEN n %% 20 = 1 THEN 'cancelled' ELSE 'completed' END,
       1, 20, 20, 10000, made_at, CASE WHEN n %% %(every)s <> 0 THEN made_at + interval '5 seconds' END,
       CASE WHEN n %% 50 = 0 THEN %(key)s ELSE lpad(to_hex(100 + n %% 50), 32, '0')::uuid END, 'nightly ' || n,
       CASE WHEN n = 3 THEN '{all,rare}' ELSE '{all}' END::text[]
FROM generate_series(1, %(jobs)s) n
CROSS JOIN LATERAL (SELECT now() - (%(jobs)s - n) * interval '0.1 seconds' AS made_at) made
"""

_LARGE = """
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded, chunk_items,
                  is_tallied, name)
SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'generate', 'model-0', '{}', 1, 'open',
       %(shards)s * 64, %(shards)s * 1280, %(shards)s * 1280, 10000, true, 'large ' || n
FROM generate_series(1, %(large)s) n
"""

_SMALL_SHARDS = """
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state, settled_at)
SELECT id, model || ':4', 4, 0, 1, 20, priority, extract(epoch FROM created_at),
       CASE state WHEN 'open' THEN 'ready' WHEN 'cancelled' THEN 'cancelled' ELSE 'done' END, finished_at
FROM jobs WHERE NOT is_tallied
"""

# Their tags are lower than those of small jobs, which are times.
_LARGE_SHARDS = """
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state, is_tallied)
SELECT jobs.id, 'model-0:4', 4, n * 64, n * 64 + 64, 1280, 1, n, 'ready', false
FROM generate_series(0, %(shards)s - 1) n CROSS JOIN jobs WHERE jobs.is_tallied
"""

_LEASED = """
UPDATE shards SET state = 'leased', token = gen_random_uuid(), lease_until = now() + interval '1 day'
WHERE id IN (SELECT id FROM shards WHERE job_id = (SELECT id FROM jobs WHERE name = 'large 1') ORDER BY id LIMIT 100)
"""

_TALLIES = """
INSERT INTO tallies (job_id, slot, n_done, n_failed, n_input, n_output, n_padded, n_batches, n_deduplicated, used_input,
                     used_output, n_bytes, n_failed_bytes, recent_at, recent)
SELECT id, 1, 64, 0, 1280, 1280, 1280, 1, 0, 1280, 1280, 1280, 0, 0, array_fill(0, ARRAY[12])
FROM jobs WHERE is_tallied
"""

_TAGS = """
INSERT INTO job_tags (tenant_id, tag, created_at, job_id)
SELECT tenant_id, tag, created_at, id FROM jobs CROSS JOIN unnest(tags) tag
"""

# They were seen tomorrow, so that none is lost while this measures.
_WORKERS = """
INSERT INTO workers (id, role, name, host, pid, device, version, started_at, seen_at, stepped_at, state, model, pool,
                     batch_rows, batch_tokens, n_items, n_tokens, items_per_second, models, busy_seconds,
                     items_per_busy_second)
SELECT gen_random_uuid(), CASE WHEN n <= 2 THEN 'deliver' ELSE 'generate' END, 'worker-' || n, 'node-' || n, n, 'cpu',
       '0', now() - interval '1 hour', now() + interval '1 day', now(), 'working', 'model-0', 'model-0:4', 64, 4096,
       100000, 5000000, 100,
       (SELECT jsonb_agg(jsonb_build_object(
          'name', 'model-' || m, 'state', 'loaded', 'revision', 'r', 'quantization', null, 'device', 'cpu',
          'memory_bytes', 1000000000, 'load_seconds', 2.5, 'reason', null, 'failed_at', null, 'paused_until', null,
          'paused_for', null))
        FROM generate_series(0, 2) m), 3000, 100
FROM generate_series(1, 30) n
"""

_RATES = """
INSERT INTO rates_of_work (slot, at, seconds, n_items, n_tokens)
SELECT floor(extract(epoch FROM now()) / 10)::bigint - n, now() - n * interval '10 seconds', 10, 30000, 1500000
FROM generate_series(0, 8639) n
"""

_FILL = (_JOBS, _LARGE, _SMALL_SHARDS, _LARGE_SHARDS, _LEASED, _TALLIES, _TAGS, _WORKERS, _RATES)

_KNOWN = """
SELECT (SELECT id FROM jobs WHERE name = 'large 1'),
       (SELECT id FROM jobs WHERE state = 'open' AND priority = 1 AND model = 'model-0' AND NOT is_tallied
        ORDER BY created_at DESC LIMIT 1),
       (SELECT id FROM jobs WHERE state = 'completed' ORDER BY created_at DESC LIMIT 1)
"""
