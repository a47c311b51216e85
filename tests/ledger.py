"""Drives the ledger by hand: submits, claims and settles jobs of the echo model, each step in its own transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from pydantic_core import from_json, to_json
from pytest import MonkeyPatch
from sqlalchemy import Connection, text

from lengthwise import bells, database, settings
from lengthwise.ledger import job_figures
from lengthwise.ledger.jobs import results
from lengthwise.ledger.jobs.arrangement import NewItem
from lengthwise.ledger.jobs.submit import NewJob, Submission
from lengthwise.ledger.queue import claim as claims
from lengthwise.ledger.queue import settle
from lengthwise.ledger.queue.claim import Claim
from lengthwise.ledger.queue.settle import ItemResult, Settlement
from lengthwise.sharding import ArrivalOrder
from lengthwise.states import Priority, ResultStatus
from lengthwise.tables.store import N_STORES, items_name, results_name

#: The tenant that exists in every migrated database.
DEFAULT = UUID(int=1)
POOL = "echo:test"
#: All items and all results, wherever they are.
EVERY_ITEM, EVERY_RESULT = (
    "(" + " UNION ALL ".join(f"SELECT * FROM {name(number)}" for number in range(N_STORES + 1)) + ")"  # noqa: S608
    for name in (items_name, results_name)
)


def sql(statement: str, **params: Any) -> list[Any]:
    """Runs one statement and commits. Returns its rows, if any."""
    with database.engine().begin() as connection:
        answer = connection.execute(text(statement), params)
        return [tuple(row) for row in answer] if answer.returns_rows else []


def knobs(patch: MonkeyPatch, **values: object) -> None:
    """Changes settings for the rest of the test."""
    for name, value in values.items():
        patch.setenv(f"LENGTHWISE_{name.upper()}", str(value))
    settings.get.cache_clear()


def new_tenant(weight: float = 1.0) -> UUID:
    tenant = uuid4()
    sql(
        "INSERT INTO tenants (id, name, weight) VALUES (:id, :name, :weight)",
        id=tenant,
        name=f"{tenant}",
        weight=weight,
    )
    return tenant


def submit(
    texts: Sequence[str],
    *,
    tenant: UUID = DEFAULT,
    pool: str = POOL,
    kind: str = "generate",
    params: dict[str, Any] | None = None,
    priority: Priority = Priority.NORMAL,
    deadline_at: datetime | None = None,
    webhook: tuple[str, str] | None = None,
    shard_items: int = 64,
    chunk_items: int = 10_000,
    refused: Iterable[int] = (),
) -> UUID:
    """Submits a job of these texts; each character is one token.

    ``webhook`` is a URL and a secret. ``refused`` are the indexes of items that are refused at submission.
    """
    url, secret = webhook or (None, None)
    job = NewJob(
        uuid4(), tenant, kind, pool.partition(":")[0], params or {}, pool, priority, deadline_at,
        webhook_url=url, webhook_secret=secret,
    )  # fmt: skip
    with database.engine().begin() as connection:
        large = settings.get().large_job_items
        submission = Submission(connection, job, ArrivalOrder(4096, 64), shard_items, chunk_items, large_items=large)
        bad = set(refused)
        submission.add([
            NewItem(len(each), to_json({"text": each}), line(index) if index in bad else None)
            for index, each in enumerate(texts)
        ])  # fmt: skip
        submission.finish()
    return job.id


def take(
    pool: str = POOL,
    *,
    tokens: int = 10**9,
    items: int = 10**6,
    batch_items: int = 0,
    lease_seconds: float = 60,
    token: UUID | None = None,
) -> Claim | None:
    with database.engine().begin() as connection:
        limits = claims.ClaimLimits(tokens, items, batch_items)
        return claims.claim(connection, pool, token or uuid4(), limits, lease_seconds=lease_seconds)()


def must_take(pool: str = POOL, **limits: Any) -> Claim:
    claimed = take(pool, **limits)
    assert claimed is not None
    return claimed


def take_all(pool: str = POOL, **limits: Any) -> list[Claim]:
    """Claims until no shard is ready."""
    taken = []
    while claimed := take(pool, **limits):
        taken.append(claimed)
    return taken


def jobs_in(claimed: Claim) -> list[UUID]:
    """Returns the job of each item, in the claim's order."""
    return [claimed.shards[item.shard_id].job_id for item in claimed.items]


def tables(job: UUID | str) -> tuple[str, str]:
    """The names of the tables of the job's items and results."""
    [(number,)] = sql("SELECT store FROM jobs WHERE id = :job", job=job)
    return items_name(number), results_name(number)


def line(index: int, claimed: Claim | None = None) -> bytes:
    """Builds a result line that names its index and its claim."""
    return to_json({"index": index, "by": claimed and claimed.token}) + b"\n"


def settlements(
    claimed: Claim,
    shard_ids: Iterable[int] | None = None,
    status: ResultStatus = ResultStatus.SUCCEEDED,
    n_warned: Mapping[str, int] | None = None,
) -> list[Settlement]:
    """Builds settlements with a result for each item of these shards, by default of all the claim's shards."""
    return [
        Settlement(
            shard,
            claimed.shards[shard].store,
            [
                ItemResult(item.index, status, line(item.index, claimed))
                for item in claimed.items
                if item.shard_id == shard
            ],
            n_output=1,
            n_padded=1,
            n_batches=1.0,
            n_warned=n_warned or {},
        )
        for shard in (claimed.shard_ids if shard_ids is None else shard_ids)
    ]


class Settled(NamedTuple):
    """The shards whose results were written, and whether the commit rang for a webhook."""

    shard_ids: frozenset[int]
    delivery_due: bool


def is_delivery_noted(connection: Connection) -> bool:
    """Whether the commit of this transaction will ring for a webhook."""
    return bells.DELIVER in {bell.task for bell in bells.noted(connection)}


def put(claimed: Claim, shard_ids: Iterable[int] | None = None, **more: Any) -> Settled:
    """Settles these shards of the claim, by default all."""
    with database.engine().begin() as connection:
        written = settle.settle(connection, claimed.token, settlements(claimed, shard_ids, **more))
        return Settled(written.ids, is_delivery_noted(connection))


def figures(job: UUID) -> job_figures.JobFigures:
    with database.engine().begin() as connection:
        return job_figures.read(connection, job)


def state(job: UUID) -> str:
    return figures(job).state.value


def counts(job: UUID) -> dict[str, int]:
    """Returns the job's counts, and checks that every item is counted exactly once."""
    found = figures(job).counts
    assert found["total"] == sum(found.values()) - found["total"]
    assert min(found.values()) >= 0
    return found


def rows(job: UUID, chunk_items: int = 10_000, limit: int = 1000) -> list[results.ResultRow]:
    """Every result of the job, page by page, those of items that never ran among them."""
    found: list[results.ResultRow] = []
    after: int | None = -1
    shown = figures(job)
    while after is not None:
        with database.engine().begin() as connection:
            page = results.read_page(
                connection, job, store=shown.store, after=after, limit=limit, chunk_items=chunk_items,
                n_items=shown.n_items,
            )  # fmt: skip
        found += page.rows
        after = page.next_after
    return found


def outputs(job: UUID) -> dict[int, Any]:
    """Returns each settled item's parsed line by index, and checks that no index occurs twice."""
    lines = [from_json(row.line) for row in rows(job) if row.line is not None]
    found = {parsed["index"]: parsed for parsed in lines}
    assert len(found) == len(lines)
    return found


def n_deliveries(job: UUID) -> int:
    found: int = sql("SELECT count(*) FROM deliveries WHERE job_id = :job", job=job)[0][0]
    return found


def let_leases_run_out() -> None:
    sql("UPDATE shards SET lease_until = now() - interval '1 second' WHERE state = 'leased'")
