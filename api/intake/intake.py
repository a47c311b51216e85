"""The one intake: portions of checked items become the rows of one job, which are written while the items are read.

Native items, the lines of an OpenAI batch and a single request are all taken in here. Each has its own reader, which
makes portions of checked items, and its own ``Refusals``, which say what happens to a wrong item.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection

from api.intake.counting import CountedPortion, Portion, counted
from lengthwise.errors import InvalidInput
from lengthwise.kinds import pool as pools
from lengthwise.ledger.jobs.sign_of_life import SignOfLife
from lengthwise.ledger.jobs.submit import NewJob, Submission
from lengthwise.models.catalog import ModelSpec
from lengthwise.settings import Settings
from lengthwise.sharding import ArrivalOrder

#: The ``model`` of a job whose items name several models.
SEVERAL = "several"


class Refusals(Protocol):
    """Collects wrong items: only the first one, or all of them."""

    def add(self, place: int, error: InvalidInput) -> None:
        """Notes a wrong item by its place in what was sent. It may raise; then nothing more is read."""
        ...

    @property
    def is_empty(self) -> bool: ...


class Intake:
    """Writes the items of one job, in the transaction of ``connection``. ``job`` names no model and no pool yet."""

    def __init__(self, connection: Connection, job: NewJob, current: Settings) -> None:
        self._connection = connection
        self._job = job
        self._settings = current
        self._life = SignOfLife(connection, current.lease_seconds)
        self._models: set[str] = set()
        self._submission: Submission | None = None

    def take(self, portions: Iterable[Portion], refusals: Refusals) -> None:
        """Counts all items and writes them. Once one is refused, the rest is only checked, and not written."""
        for portion in portions:
            for part in counted(portion, refusals.add):
                self._life.show()
                if refusals.is_empty:
                    self.add(portion.target.spec, part)

    def add(self, spec: ModelSpec, portion: CountedPortion) -> None:
        """Writes counted items of this model."""
        self._models.add(spec.name)
        self._writing(spec, portion.pools).add(portion.items)

    def _writing(self, spec: ModelSpec, names: set[str]) -> Submission:
        submission = self._submission
        if submission is None:
            first = min(names)
            submission = self._submission = Submission(
                self._connection,
                replace(self._job, pool=first),
                arrival_order(first, spec),
                self._settings.shard_items,
                self._settings.chunk_items,
                self._settings.chunk_bytes,
                self._settings.large_job_items,
            )
        for pool in names - {submission.job.pool} - submission.arrivals.keys():
            submission.arrivals[pool] = arrival_order(pool, spec)
        return submission

    @property
    def model(self) -> str | None:
        """The model of all items, if they name the same."""
        return next(iter(self._models)) if len(self._models) == 1 else None

    def finish(self) -> Submission:
        """Writes what is left and the job itself. Raises ``TooBusy``; ``LookupError`` where no item was added."""
        if self._submission is None:
            raise LookupError("a job has at least one item")
        self._submission.job = replace(self._submission.job, model=self.model or SEVERAL)
        self._submission.finish()
        return self._submission


def arrival_order(pool: str, spec: ModelSpec) -> ArrivalOrder:
    """Counts what batches of this pool in order of arrival would compute."""
    rows = max(1, pools.rows_of(pool))
    return ArrivalOrder(max(1, spec.batch_tokens // rows), max(1, spec.batch_rows // rows))
