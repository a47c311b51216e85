"""Writes what is whole, while the lease may live."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID

from lengthwise import database, settings
from lengthwise.errors import Unavailable
from lengthwise.ledger.queue.settle import Settlement, settle

log = logging.getLogger(__name__)

#: Between two tries of a settlement that the database could not take.
_RETRY_SECONDS = 0.5


def put(token: UUID, settlements: Sequence[Settlement]) -> None:
    """Settles; what the database refused for longer than a lease is some other worker's by now.

    A settlement whose commit was interrupted may have been written: then its fence is gone at the second try, which
    writes nothing. Raises ``Unavailable``.
    """
    if not settlements:
        return
    gives_up_at = time.monotonic() + settings.get().lease_seconds
    while True:
        try:
            with database.translated(), database.engine().begin() as connection:
                settled = settle(connection, token, settlements)
            break
        except Unavailable:
            if time.monotonic() >= gives_up_at:
                raise
            time.sleep(_RETRY_SECONDS)
    if lost := len(settlements) - len(settled):
        log.warning("%d shards were no longer ours: their results were not written", lost)
