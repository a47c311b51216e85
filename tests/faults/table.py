"""The harness's own queries on the database: who holds which shards, what is settled, which jobs are open.

They bypass the API and use a connection of the harness. A fault of the database breaks it like any other.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

#: The application name that marks the harness's database sessions.
NAME = "faults"


class Tables:
    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Returns the rows of a query. Raises ``psycopg.OperationalError`` while the database is away."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5, application_name=NAME)
        cursor = self._connection.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def ask_patiently(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Returns the rows of a query, and waits up to 60 s for a database that is away."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.ask(query, **values)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def n_settled(self, job_ids: Sequence[str]) -> int:
        """Counts items of these jobs that have a result."""
        found: int = self.ask_patiently(_SETTLED, jobs=list(job_ids))[0][0]
        return found

    def n_held(self, tokens: Sequence[str]) -> int:
        """Counts shards that these claims still hold: not settled, not released, not claimed by another."""
        found: int = self.ask_patiently(_HELD, tokens=list(tokens))[0][0]
        return found

    def held_by(self, tokens: Sequence[str]) -> list[int]:
        return [row[0] for row in self.ask_patiently(_HELD_IDS, tokens=list(tokens))]

    def n_waiting(self, shard_ids: Sequence[int], tokens: Sequence[str]) -> int:
        """Counts those of these shards that are neither settled nor held by another claim."""
        found: int = self.ask_patiently(_WAITING, ids=list(shard_ids), tokens=list(tokens))[0][0]
        return found

    def has_settled_since(self, wall_time: float) -> bool:
        return bool(self.ask_patiently(_SETTLED_SINCE, at=wall_time)[0][0])

    def open_jobs(self) -> set[str]:
        """Returns the jobs that have not ended, acknowledged or not."""
        return {str(row[0]) for row in self.ask_patiently("SELECT id FROM jobs WHERE state = 'open'")}

    def all_jobs(self) -> set[str]:
        return {str(row[0]) for row in self.ask_patiently("SELECT id FROM jobs")}

    def deliveries(self, job_ids: Sequence[str]) -> list[tuple[str, str, str, int]]:
        """Returns job, webhook-id, state and number of attempts for every delivery of these jobs."""
        rows = self.ask_patiently(_DELIVERIES, jobs=list(job_ids))
        return [(str(job), f"msg_{delivery.hex}", state, attempts) for job, delivery, state, attempts in rows]

    def deliveries_in_hand(self) -> dict[str, int]:
        """Returns the deliveries that some process has claimed, with their number of attempts."""
        return {str(row[0]): row[1] for row in self.ask_patiently(_IN_HAND)}

    def n_attempted(self, deliveries: Mapping[str, int]) -> int:
        """Counts those of these deliveries that have more attempts now."""
        rows = self.ask_patiently(_ATTEMPTS, ids=list(deliveries))
        return sum(attempts > deliveries[str(delivery)] for delivery, attempts in rows)

    def longest_until_first_attempt(self, job_ids: Sequence[str]) -> float:
        """Returns the longest time in seconds from a job's end to the first attempt at its webhook."""
        found: float | None = self.ask_patiently(_FIRST_ATTEMPT, jobs=list(job_ids))[0][0]
        return float(found or 0)


_SETTLED = "SELECT count(*) FROM results WHERE job_id = ANY(%(jobs)s::uuid[])"
_HELD = "SELECT count(*) FROM shards WHERE token = ANY(%(tokens)s::uuid[]) AND state = 'leased'"
_HELD_IDS = "SELECT id FROM shards WHERE token = ANY(%(tokens)s::uuid[]) AND state = 'leased'"
_WAITING = """
SELECT count(*) FROM shards
WHERE id = ANY(%(ids)s) AND (state = 'ready' OR (state = 'leased' AND token = ANY(%(tokens)s::uuid[])))
"""
_SETTLED_SINCE = "SELECT EXISTS (SELECT FROM shards WHERE settled_at > to_timestamp(%(at)s))"
_DELIVERIES = "SELECT job_id, id, state, attempts FROM deliveries WHERE job_id = ANY(%(jobs)s::uuid[])"
_IN_HAND = "SELECT id, attempts FROM deliveries WHERE state = 'pending' AND token IS NOT NULL"
_ATTEMPTS = "SELECT id, attempts FROM deliveries WHERE id = ANY(%(ids)s::uuid[])"
_FIRST_ATTEMPT = """
SELECT max(extract(epoch FROM attempts.started_at - jobs.finished_at))::float8
FROM jobs JOIN deliveries ON deliveries.job_id = jobs.id
     JOIN attempts ON attempts.delivery_id = deliveries.id AND attempts.n = 1
WHERE jobs.id = ANY(%(jobs)s::uuid[])
"""
