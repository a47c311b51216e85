"""Stores as these tests use them: what is in them, and deleted jobs."""

from uuid import UUID, uuid4

from lengthwise import database
from lengthwise.ledger import store
from lengthwise.ledger.jobs import cancel
from lengthwise.ledger.jobs.arrangement import NewItem
from lengthwise.ledger.jobs.submit import NewJob, Submission
from lengthwise.sharding import ArrivalOrder
from lengthwise.tables.store import items_name, results_name
from tests.ledger import (
    DEFAULT,
    POOL,
    figures,
    put,
    sql,
    take_all,
)

TEXTS = ["x" * (index % 9 + 1) for index in range(20)]


def store_of(job: UUID) -> int:
    return figures(job).store


def held() -> dict[int, UUID]:
    return dict(sql("SELECT id, job_id FROM stores WHERE job_id IS NOT NULL"))


def n_rows(number: int) -> tuple[int, int]:
    counted = [sql(f"SELECT count(*) FROM {name(number)}")[0][0] for name in (items_name, results_name)]  # noqa: S608
    return counted[0], counted[1]


def delete(job: UUID) -> None:
    with database.engine().begin() as connection:
        cancel.delete(connection, job, DEFAULT)


def empty() -> list[int]:
    """Empties the stores of deleted jobs. Returns which."""
    with database.engine().begin() as connection:
        return [number for number in store.find_left(connection) if store.empty(connection, number)]


def begun(connection: object, n_items: int = 20) -> Submission:
    """A submission whose first items are written, and which is not finished."""
    job = NewJob(uuid4(), DEFAULT, "generate", "echo", {}, POOL, sent_items=n_items)
    submission = Submission(connection, job, ArrivalOrder(4096, 64), chunk_items=5, large_items=10)  # type: ignore[arg-type]
    submission.add([NewItem(1, b'{"text":"x"}') for _ in range(5)])
    return submission


def settle_all() -> None:
    for claimed in take_all():
        put(claimed)
