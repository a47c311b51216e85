"""Writes the results of finished shards."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID

from lengthwise import database, settings
from lengthwise.errors import Unavailable
from lengthwise.ledger.queue.settle import Settlement, settle

log = logging.getLogger(__name__)

#: The pause before another attempt if the database is away.
_RETRY_SECONDS = 0.5


def write(token: UUID, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Settles shards that ``token`` holds, and retries for as long as a lease lasts. Raises ``Unavailable`` after that.

    Returns those that were written. If a commit is interrupted, the results may be written nevertheless. The next
    attempt then fails its fence and writes nothing.
    """
    if not settlements:
        return ()
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
    if lost := len(settlements) - len(settled):
        log.warning("the lease of %d shards was lost: their results were not written", lost)
    return [done for done in settlements if done.shard_id in settled]
