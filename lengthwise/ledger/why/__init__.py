"""Why a job is not done: read from the ledger in one round trip, at a cost that does not grow with what waits.

It knows nothing of sentences: ``api.jobs.progress`` makes them.
"""

from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.why.facts import Asked, find_batch
from lengthwise.ledger.why.judgement import Crew, Why, of_open_job
from lengthwise.states import JobState, Reason

__all__ = ["LOST_SECONDS", "Why", "read", "read_validation"]

#: A worker whose row is older than this is silent: three of the periods in which it describes itself.
LOST_SECONDS = 15.0


def read(connection: Connection, job: JobFigures, *, lost_seconds: float = LOST_SECONDS) -> Why:
    """Why this job is not done, or what is still to do after its end."""
    with database.pipelined(connection):
        asked = Asked(connection, job.id, lost_seconds)
        if job.state is JobState.OPEN:
            asked.ask_shards()
            return of_open_job(asked.shards(), Crew(asked.workers()), asked.waiting(), job.read_at)
        asked.ask_webhooks()
        return _ended(job, asked)


def _ended(job: JobFigures, asked: Asked) -> Why:
    found, crew = asked.webhooks(), Crew(asked.workers())
    if not found.n_pending and not found.has_pushes:
        return Why(Reason.ENDED, since=job.finished_at)
    return Why(
        Reason.DELIVERING,
        since=job.finished_at,
        until=found.next_at,
        n_delivering=crew.n_delivering,
        attempts=found.attempts,
        n_webhooks=found.n_pending,
        n_sending=found.n_sending,
        status=found.status,
    )


def read_validation(connection: Connection, batch_id: UUID, tenant_id: UUID) -> Why | None:
    """Why an OpenAI batch has no job yet; None if it is not waiting for one.

    ``is_busy`` says that its file is being read, and ``n_ahead`` how many batches are read before it.
    """
    found = find_batch(connection, batch_id, tenant_id)
    if found is None:
        return None
    return Why(
        Reason.VALIDATING,
        since=found.created_at,
        until=None if found.is_being_read or not found.attempts else found.next_at,
        is_busy=found.is_being_read,
        attempts=found.attempts,
        n_ahead=found.n_ahead,
    )
