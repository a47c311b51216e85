"""What the harness asks the database itself, past the API: who holds what, what was settled, what was never ended.

Every question is answered by a connection of the harness's own, which a fault of the database breaks like any other.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

#: By which the harness's own sessions are told from the product's.
NAME = "faults"


class Tables:
    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises ``psycopg.OperationalError`` while the database is away."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5, application_name=NAME)
        cursor = self._connection.execute(query.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def ask_patiently(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """The same, once the database is back."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.ask(query, **values)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def n_settled(self, job_ids: Sequence[str]) -> int:
        """Items of these jobs that have a result."""
        found: int = self.ask_patiently(_SETTLED, jobs=list(job_ids))[0][0]
        return found

    def n_held(self, tokens: Sequence[str]) -> int:
        """Shards that are still bound to these claims: neither settled, nor given back, nor in another's hands."""
        found: int = self.ask_patiently(_HELD, tokens=list(tokens))[0][0]
        return found

    def held_by(self, tokens: Sequence[str]) -> list[int]:
        return [row[0] for row in self.ask_patiently(_HELD_IDS, tokens=list(tokens))]

    def n_waiting(self, shard_ids: Sequence[int], tokens: Sequence[str]) -> int:
        """Of these shards, those that are neither settled nor held by a claim other than these."""
        found: int = self.ask_patiently(_WAITING, ids=list(shard_ids), tokens=list(tokens))[0][0]
        return found

    def has_settled_since(self, wall_time: float) -> bool:
        return bool(self.ask_patiently(_SETTLED_SINCE, at=wall_time)[0][0])

    def open_jobs(self) -> set[str]:
        """Jobs without an end, acknowledged or not."""
        return {str(row[0]) for row in self.ask_patiently("SELECT id FROM jobs WHERE state = 'open'")}

    def all_jobs(self) -> set[str]:
        return {str(row[0]) for row in self.ask_patiently("SELECT id FROM jobs")}

    def deliveries(self, job_ids: Sequence[str]) -> list[tuple[str, str, str, int]]:
        """Job, webhook-id, state and number of attempts of every delivery of these jobs."""
        rows = self.ask_patiently(_DELIVERIES, jobs=list(job_ids))
        return [(str(job), f"msg_{delivery.hex}", state, attempts) for job, delivery, state, attempts in rows]

    def deliveries_in_hand(self) -> dict[str, int]:
        """Deliveries that some process has claimed, and how many attempts they had."""
        return {str(row[0]): row[1] for row in self.ask_patiently(_IN_HAND)}

    def n_attempted(self, deliveries: Mapping[str, int]) -> int:
        """Of these, those that have more attempts by now."""
        rows = self.ask_patiently(_ATTEMPTS, ids=list(deliveries))
        return sum(attempts > deliveries[str(delivery)] for delivery, attempts in rows)

    def longest_until_first_attempt(self, job_ids: Sequence[str]) -> float:
        """Seconds from a job's end to the first attempt at its webhook, at worst."""
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
