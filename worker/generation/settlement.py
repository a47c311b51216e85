"""Writes the results of finished shards."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID

from lengthwise import database, logs, settings, traces
from lengthwise.errors import Unavailable
from lengthwise.ledger.queue.settle import CompletedJob, Settlement, settle
from lengthwise.metrics import meters

log = logging.getLogger(__name__)

#: The pause before another attempt if the database is away.
_RETRY_SECONDS = 0.5
#: Hides what is bound for the claim: other jobs, and shards that need not be of the job that ended.
_ONLY_JOB: dict[str, object] = dict.fromkeys(("jobs", "n_jobs", "shard", "shards", "n_shards"))


def write(token: UUID, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Settles shards that ``token`` holds, and retries for as long as a lease lasts. Raises ``Unavailable`` after that.

    Returns those that were written. If a commit is interrupted, the results may be written nevertheless. The next
    attempt then fails its fence and writes nothing.
    """
    if not settlements:
        return ()
    with traces.span("settle", traces.current(), attributes={"lengthwise.shards": len(settlements)}):
        return _write(token, settlements)


def _write(token: UUID, settlements: Sequence[Settlement]) -> list[Settlement]:
    gives_up_at = time.monotonic() + settings.get().lease_seconds
    while True:
        try:
            with database.translated(), database.engine().begin(pipelined=True) as connection:
                settled = settle(connection, token, settlements)
            break
        except Unavailable:
            if time.monotonic() >= gives_up_at:
                raise
            time.sleep(_RETRY_SECONDS)
    written = [done for done in settlements if done.shard_id in settled.ids]
    meters.get().count_settled(written)
    note_ended(settled.ended)
    if lost := [done.shard_id for done in settlements if done.shard_id not in settled.ids]:
        about = {"fields": logs.named("shard", lost)}
        log.warning("shards whose lease was lost: %d; their results were not written", len(lost), extra=about)
    return written


def note_ended(ended: Sequence[CompletedJob]) -> None:
    """Counts jobs that ended, and writes a line about each. Call it once that is committed."""
    meters.get().count_ended([job.margin for job in ended if job.margin is not None])
    for job in ended:
        log.info("the job ended: all of its items are done", extra={"fields": _ONLY_JOB | {"job": job.id}})
