"""Makes a job of what was ordered: once for each Idempotency-Key."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import Connection

from api.jobs import intake, view
from api.jobs.intake import Order
from api.jobs.schema import CreatedJob, Job, NewWebhook
from api.state import State
from lengthwise.database import translated
from lengthwise.errors import Unavailable
from lengthwise.ledger import read
from lengthwise.ledger.jobs import idempotency
from lengthwise.ledger.jobs.idempotency import Named
from lengthwise.ledger.read import JobFigures

#: Where a job's items come from, read in the transaction that writes them.
Source = Callable[[Connection], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that was taken, by this request or, with ``is_replay``, by the same one before."""

    figures: JobFigures
    webhook_secret: str | None
    is_replay: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {"Location": f"/v1/jobs/{self.figures.id}"} | ({"Idempotent-Replayed": "true"} if self.is_replay else {})

    def job(self, retention_seconds: int) -> Job:
        return view.job(self.figures, retention_seconds)

    def created(self, retention_seconds: int) -> CreatedJob:
        """The job with its webhook's secret, which is shown here alone."""
        url, secret = self.figures.webhook_url, self.webhook_secret
        webhook = NewWebhook(url=url, secret=secret) if url and secret else None
        return CreatedJob(**dict(self.job(retention_seconds)) | {"webhook": webhook})


def replay(state: State, tenant: UUID, named: Named) -> Accepted | None:
    """The job that the same request made. Raises ``InvalidInput`` if another request had this name."""
    with translated(), state.database.begin() as connection:
        return _replay(connection, tenant, named)


def _replay(connection: Connection, tenant: UUID, named: Named) -> Accepted | None:
    known = idempotency.find(connection, tenant, named)
    if known is None:
        return None
    return Accepted(read.figures(connection, known.job_id, tenant), known.webhook_secret, is_replay=True)


def accept(
    state: State, tenant: UUID, order: Order, source: Source, named: Named | None = None, retry_of: UUID | None = None
) -> Accepted:
    """Writes the job, or finds that a request at the same time did. Raises ``InvalidInput`` and ``Unavailable``."""
    with translated():
        try:
            with state.database.begin() as connection:
                if named is not None:
                    idempotency.lock(connection, tenant, named.key)
                    if made := _replay(connection, tenant, named):
                        return made
                taken = intake.Intake(connection, order, tenant, state.settings, named, retry_of)
                taken.take(source(connection))
                figures = read.figures(connection, taken.job_id, tenant)
        except UniqueViolation as error:
            if error.diag.constraint_name != idempotency.INDEX:
                raise
            raise Unavailable("another request under this Idempotency-Key was taken", retry_after=1) from None
    state.backlog.add(tenant, figures.n_tokens)
    return Accepted(figures, order.webhook_secret)
