"""A process that freezes within a transaction keeps its locks until a sweep ends its session."""

import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from lengthwise import database
from lengthwise.ledger import binary_copy
from lengthwise.ledger.queue import claim, sweep
from tests.ledger import POOL, knobs, must_take, sql, submit, take
from tests.workers import sweep as sweep_all

pytestmark = pytest.mark.usefixtures("installed", "redis_url")


def claims(connection: Connection) -> None:
    """Has claimed shards in a transaction that is not committed."""
    limits = claim.ClaimLimits(tokens=10**9, items=10**6)
    assert claim.claim(connection, POOL, uuid4(), limits, lease_seconds=60)()


def settles(connection: Connection) -> None:
    """Has locked the shards that it settles, and is in the middle of a COPY."""
    connection.execute(text("SELECT FROM shards FOR UPDATE"))
    connection.connection.driver_connection.pgconn.exec_(binary_copy.COPY_RESULTS[0].encode())  # type: ignore[union-attr]


def ends_a_job(connection: Connection) -> None:
    connection.execute(text("SELECT FROM shards, jobs FOR UPDATE"))


def never_reads(connection: Connection) -> None:
    """Has requested more rows than the network buffers, and reads none of them."""
    connection.execute(text("SELECT FROM shards FOR UPDATE"))
    raw = connection.connection.driver_connection
    raw.pgconn.send_query(b"SELECT repeat('x', 1000000) FROM generate_series(1, 200)")  # type: ignore[union-attr]


@pytest.mark.parametrize("step", [claims, settles, ends_a_job, never_reads])
def test_the_locks_of_a_frozen_process_are_released(step: Callable[[Connection], None]) -> None:
    submit(["text"] * 10)
    frozen = database.engine().connect()
    try:
        step(frozen)
        time.sleep(0.3)
        assert take() is None, "it is passed over"
        with database.engine().begin() as connection:
            assert sweep.end_frozen_sessions(connection, seconds=0.2) == 1
        deadline = time.monotonic() + 10
        while (taken := take()) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert taken is not None
        assert len(taken.items) == 10
    finally:
        frozen.invalidate()


def test_working_and_idle_sessions_are_not_ended() -> None:
    """A long statement and a session between two transactions are not frozen, however long they take."""
    with database.engine().connect() as working, database.engine().connect() as resting:
        resting.execute(text("SELECT 1"))
        resting.rollback()
        working.connection.driver_connection.pgconn.send_query(b"SELECT pg_sleep(30)")  # type: ignore[union-attr]
        time.sleep(0.1)
        with database.engine().begin() as connection:
            assert sweep.end_frozen_sessions(connection, seconds=0) == 0
        resting.execute(text("SELECT 1"))
        working.invalidate()


def test_sessions_of_other_programs_are_not_ended(database_url: str) -> None:
    engine = database.connect(database_url)
    with engine.connect() as foreign:
        foreign.execute(text("SET application_name = 'psql'"))
        with database.engine().begin() as connection:
            assert sweep.end_frozen_sessions(connection, seconds=0) == 0
        foreign.execute(text("SELECT 1"))
    engine.dispose()


def test_a_sweep_skips_a_locked_row_until_its_next_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the sweep that should end a frozen session would itself wait for that session's lock."""
    knobs(monkeypatch, lease_seconds=600)
    job = submit(["text"])
    must_take()
    sql("UPDATE jobs SET deadline_at = now() - interval '1 second' WHERE id = :job", job=job)
    with database.engine().begin() as blocking:
        blocking.execute(text("SELECT FROM jobs WHERE id = :job FOR UPDATE"), {"job": job})
        sweep_all()
    assert "not swept" in caplog.text
    sweep_all()
    assert sql("SELECT state FROM jobs WHERE id = :job", job=job) == [("expired",)]
