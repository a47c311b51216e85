"""Puts off what was claimed and cannot run now, and ends what has waited for its model for long enough."""

from collections.abc import Iterable
from uuid import UUID

from lengthwise import database, settings
from lengthwise.ledger import workers
from lengthwise.ledger.queue import lease as leases
from lengthwise.ledger.queue.claim import Claim, ClaimedJob, ClaimedShard
from worker.generation import settlement
from worker.generation.work.items import refuse

#: A shard whose model could not be loaded is put off for 2 s, and for twice as long each time. From this try on, the
#: delay stays the same.
_DOUBLINGS = 5
_MAX_DELAY_SECONDS = 60.0
#: Of a job whose caller waits for the answer: after this time, and the next try, an error is worth more than silence.
_CALLER_SECONDS = 5.0


def postpone(model: str, claimed: Claim) -> None:
    """Delays the shards of a model that was not loaded, longer each time.

    Those that have waited for long enough end with an error, unless another worker has the model. Raises
    ``Unavailable``.
    """
    over = {shard.id for shard in claimed.shards.values() if _has_waited(shard, claimed.jobs[shard.job_id])}
    if over and _is_served(model):
        over = set()
    if over:
        ended = refuse(claimed, "model_unavailable")
        settlement.write(claimed.token, [done for done in ended if done.shard_id in over])
    waiting = [shard for shard in claimed.shards.values() if shard.id not in over]
    if waiting:
        seconds = _delay_seconds(max(shard.attempts for shard in waiting))
        delay(claimed.token, [shard.id for shard in waiting], seconds, counted=True)


def _has_waited(shard: ClaimedShard, job: ClaimedJob) -> bool:
    """Whether a shard of this job has waited for its model for long enough."""
    longest = settings.get().model_wait_seconds
    return _waited_seconds(shard.attempts) >= (min(longest, _CALLER_SECONDS) if job.is_interactive else longest)


def _delay_seconds(n_before: int) -> float:
    """The delay of a shard after so many earlier ones."""
    return _MAX_DELAY_SECONDS if n_before >= _DOUBLINGS else 2.0 ** (n_before + 1)


def _waited_seconds(n_delays: int) -> float:
    """What so many delays of a shard add up to, in the mean."""
    doubled = min(n_delays, _DOUBLINGS)
    return 2.0 ** (doubled + 1) - 2.0 + (n_delays - doubled) * _MAX_DELAY_SECONDS


def _is_served(model: str) -> bool:
    """Whether a live worker has the model in memory."""
    with database.translated(), database.engine().asking() as connection:
        live = workers.find_live(connection, presence_seconds=settings.get().presence_seconds)
    return any(each.has_loaded(model) for each in live)


def delay(token: UUID, shard_ids: Iterable[int], seconds: float, *, counted: bool = False) -> None:
    """Gives shards of a claim back for about so long. If ``counted``, it is one of their tries.

    Raises ``Unavailable``.
    """
    with database.translated(), database.engine().begin() as connection:
        leases.delay(connection, token, shard_ids, seconds, counted=counted)
