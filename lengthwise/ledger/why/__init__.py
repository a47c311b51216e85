"""Why a job is not done: read from the ledger in one round trip, at a cost that does not grow with what waits.

It knows nothing of sentences: ``api.jobs.progress`` makes them.
"""

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.why.facts import Asked
from lengthwise.ledger.why.judgement import Crew, Why, of_open_job
from lengthwise.states import JobState, Reason

__all__ = ["LOST_SECONDS", "Why", "read"]

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
