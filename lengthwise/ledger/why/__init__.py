"""Why a job is not done: read from the ledger in one round trip, at a cost that does not grow with what waits.

It knows nothing of sentences: ``api.jobs.progress`` makes them.
"""

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger import workers
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.why.facts import Asked
from lengthwise.ledger.why.judgement import Crew, SeenWorker, Why, of_open_job
from lengthwise.states import JobState, Reason, WorkerRole

__all__ = ["Why", "read"]


def read(connection: Connection, job: JobFigures, *, presence_seconds: float) -> Why:
    """Why this job is not done, or what is still to do after its end. Workers report every ``presence_seconds``."""
    asked = Asked(connection, job.id)
    with database.pipelined(connection):
        if job.state is JobState.OPEN:
            asked.ask_shards()
            crew = _crew(connection, presence_seconds)  # the first answer that is read, so that all are sent before it
            return of_open_job(asked.shards(), crew, asked.waiting(), job.read_at)
        asked.ask_webhooks()
        return _ended(job, asked, _crew(connection, presence_seconds))


def _crew(connection: Connection, presence_seconds: float) -> Crew:
    return Crew(
        [
            SeenWorker(
                WorkerRole(row.role),
                workers.state_of(row.state, row.seen_seconds, presence_seconds),
                row.seen_at,
                row.models,
            )
            for row in workers.find_all(connection)
        ]
    )


def _ended(job: JobFigures, asked: Asked, crew: Crew) -> Why:
    found = asked.webhooks()
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
