"""Steps that meet on the same shards lock them in one order, so none fails because of a deadlock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement

import pytest
from sqlalchemy import Connection, text

from lengthwise import database
from lengthwise.ledger.jobs import cancel
from lengthwise.ledger.queue.claim import Claim
from lengthwise.ledger.queue.lease import delay, heartbeat, release
from lengthwise.ledger.queue.settle import settle
from tests.ledger import DEFAULT, must_take, settlements, sql, submit
from tests.servers import wait_until

pytestmark = pytest.mark.usefixtures("installed")

Step = Callable[[Connection, Claim], object]

#: The steps that lock a claim's shards. Those that get ids get them in descending order.
STEPS: dict[str, Step] = {
    "settle": lambda connection, held: settle(connection, held.token, settlements(held, descending(held))),
    "heartbeat": lambda connection, held: heartbeat(connection, held.token, descending(held), lease_seconds=60),
    "release": lambda connection, held: release(connection, held.token, descending(held)),
    "delay": lambda connection, held: delay(connection, held.token, descending(held), seconds=1),
    "cancel": lambda connection, held: cancel.cancel(connection, next(iter(held.jobs)), DEFAULT),
    "expire": lambda connection, _: cancel.expire(connection),
    "delete": lambda connection, held: cancel.delete(connection, next(iter(held.jobs)), DEFAULT),
}


def descending(held: Claim) -> list[int]:
    return sorted(held.shard_ids, reverse=True)


def n_waiting() -> int:
    """Sessions of this database that wait for a lock."""
    found: int = sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )[0][0]
    return found


def take_step(step: str, held: Claim) -> None:
    with database.engine().begin() as connection:
        STEPS[step](connection, held)


@pytest.mark.parametrize("steps", list(combinations_with_replacement(STEPS, 2)), ids="-".join)
def test_two_steps_that_wait_for_the_same_shard_both_finish(steps: tuple[str, str]) -> None:
    """The middle shard is locked. Steps in opposite orders would each hold one end and wait for the other."""
    job = submit(["x" * 10] * 9, shard_items=1)
    sql("UPDATE jobs SET deadline_at = now() - interval '1 second' WHERE id = :job", job=job)
    held = must_take()
    with ThreadPoolExecutor(2) as pool:
        with database.engine().begin() as blocking:
            middle = sorted(held.shard_ids)[4]
            blocking.execute(text("SELECT FROM shards WHERE id = :id FOR UPDATE"), {"id": middle})
            running = [pool.submit(take_step, step, held) for step in steps]
            wait_until(lambda: n_waiting() == 2)
        for each in running:
            each.result(timeout=60)
