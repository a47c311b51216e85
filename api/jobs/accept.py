"""Writes a job, once for each Idempotency-Key. A job that is refused leaves no row."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from sys import getsizeof
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from psycopg.errors import UniqueViolation
from sqlalchemy import Connection

from api.access import caller
from api.intake.counting import Portion, in_portions
from api.intake.intake import Intake
from api.jobs import view
from api.jobs.item_reader import ItemReader
from api.jobs.order import Order
from api.jobs.schema import CreatedJob, Job, NewWebhook
from api.jobs.state import JobsState
from lengthwise.database import translated
from lengthwise.errors import InvalidInput, TooLarge, Unavailable
from lengthwise.formats.source import Keep
from lengthwise.ledger import job_figures
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.jobs import idempotency, source
from lengthwise.ledger.jobs.idempotency import IdempotencyKey
from lengthwise.ledger.jobs.submit import NewJob
from lengthwise.settings import Settings
from lengthwise.states import Priority

log = logging.getLogger(__name__)

#: Reads a job's items, in the transaction that writes them. The rows of a table go to the second argument as well.
ReadItems = Callable[[Connection, Keep], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class AcceptedJob:
    """A job that this request made. With ``is_replay`` an earlier, identical request made it."""

    figures: JobFigures
    webhook_secret: str | None
    is_replay: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {"Location": f"/v1/jobs/{self.figures.id}"} | ({"Idempotent-Replayed": "true"} if self.is_replay else {})

    def job(self, retention_seconds: int) -> Job:
        return view.job(self.figures, retention_seconds)

    def created(self, retention_seconds: int) -> CreatedJob:
        """The job with its webhook's secret, which no other answer shows."""
        url, secret = self.figures.webhook_url, self.webhook_secret
        webhook = NewWebhook(url=url, secret=secret) if url and secret else None
        return CreatedJob(**dict(self.job(retention_seconds)) | {"webhook": webhook})


class SentSize(NamedTuple):
    """What is known of a job's size before its items are read: how many they are, and the bytes they were sent in."""

    items: int = 0
    bytes: int = 0


_UNKNOWN = SentSize()


def replay(state: JobsState, tenant: UUID, named: IdempotencyKey) -> AcceptedJob | None:
    """The job that the same request made. Raises ``InvalidInput`` if a different request used this key."""
    with translated(), state.database.begin() as connection:
        return _replay(connection, tenant, named)


def _replay(connection: Connection, tenant: UUID, named: IdempotencyKey) -> AcceptedJob | None:
    known = idempotency.find(connection, tenant, named)
    if known is None:
        return None
    return AcceptedJob(job_figures.read(connection, known.job_id, tenant), known.webhook_secret, is_replay=True)


def accept(
    state: JobsState,
    tenant: UUID,
    order: Order,
    read_items: ReadItems,
    named: IdempotencyKey | None = None,
    retry_of: UUID | None = None,
    sent: SentSize = _UNKNOWN,
) -> AcceptedJob:
    """Writes the job, or finds the one that an identical request made meanwhile.

    Raises ``InvalidInput``, ``TooBusy`` and ``Unavailable``.
    """
    with translated():
        try:
            with state.database.begin() as connection:
                if named is not None:
                    idempotency.lock(connection, tenant, named.key)
                    if made := _replay(connection, tenant, named):
                        return made
                job = _job(order, tenant, named, retry_of, sent)
                items = read_items(connection, partial(source.add, connection, job.id))
                _write(connection, job, order, items, state.settings)
                figures = job_figures.read(connection, job.id, tenant)
        except UniqueViolation as error:
            if error.diag.constraint_name != idempotency.INDEX:
                raise
            raise Unavailable("another request under this Idempotency-Key was taken", retry_after=1) from None
    state.backlog.add(tenant, figures.n_tokens)
    about = {"fields": {"job": figures.id, "items": figures.n_items, "tokens": figures.n_tokens}}
    log.info("a job was accepted: kind %s, model %s", figures.kind, figures.model, extra=about)
    return AcceptedJob(figures, order.webhook_secret)


class FirstRefusal:
    """A job is refused for the first item that is wrong."""

    is_empty = True

    def add(self, place: int, error: InvalidInput) -> None:
        raise InvalidInput(str(error), f"items[{place}].{error.field}", place) from None


def _job(order: Order, tenant: UUID, named: IdempotencyKey | None, retry_of: UUID | None, sent: SentSize) -> NewJob:
    header, target = order.header, order.target
    return NewJob(
        id=uuid4(),
        tenant_id=tenant,
        kind=target.kind.name,
        model="",
        params=target.params.model_dump(mode="json", exclude_none=True),
        pool="",
        priority=Priority[header.priority.upper()],
        deadline_at=header.deadline,
        webhook_url=order.webhook_url,
        webhook_secret=order.webhook_secret,
        deduplicate=header.deduplicate,
        named=named,
        retry_of=retry_of,
        key_id=caller.key_id(),
        max_open_jobs=caller.max_open_jobs(),
        source=order.source and order.source._asdict(),
        sent_items=sent.items,
        sent_bytes=sent.bytes,
        name=header.name,
        tags=header.tags,
        source_file=header.source_file,
    )


def _write(connection: Connection, job: NewJob, order: Order, raws: Iterable[Any], current: Settings) -> None:
    """Writes the job with all items. Raises ``InvalidInput`` naming the first that is wrong."""
    intake = Intake(connection, job, current)
    intake.take(portions(order, raws, current), FirstRefusal())
    submission = intake.finish()
    require_one_that_runs(order, submission.n_items, submission.n_refused)


def require_one_that_runs(order: Order, n_items: int, n_refused: int) -> None:
    """Raises ``InvalidInput`` if every item of a job is refused."""
    if n_refused == n_items:
        raise InvalidInput(f"is longer than the {order.target.spec.context} tokens of the model", "items[0]", 0)


def portions(order: Order, raws: Iterable[Any], current: Settings) -> Iterator[Portion]:
    """Checks the items, which are JSON values or lines of NDJSON. Raises ``InvalidInput``."""
    reader, remaining = ItemReader(order.target, current), iter(raws)
    n_items = 0
    for portion in in_portions(islice(remaining, current.max_items), getsizeof):
        checked = reader.read(portion, n_items)
        yield Portion(order.target, checked, range(n_items, n_items + len(checked)))
        n_items += len(checked)
    if n_items == 0:
        raise InvalidInput("a job has at least one item", "items")
    if n_items == current.max_items and any(True for _ in remaining):
        raise TooLarge(f"a job may have at most {current.max_items} items", "items")
