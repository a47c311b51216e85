"""No connection is left open: not at the end of a process, and not if the pool is replaced, however late it comes."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy.pool import QueuePool

from lengthwise import database
from lengthwise.waiting.pulse import Pulse, WatchedConnection


def test_a_connection_that_is_returned_late_is_closed(database_url: str) -> None:
    engine = database.connect(database_url)
    with engine.connect() as late, engine.connect() as other:
        held = database.cursor(late).connection
        other.close()
        database.shut(engine)
        late.exec_driver_sql("SELECT 1")
        assert not held.closed
    assert held.closed


def test_a_connection_that_was_opened_while_the_pool_was_replaced_is_closed_when_it_is_returned(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own pool was dropped meanwhile, so nobody would use it any more, nor close it."""
    engine, real = database.connect(database_url), Pulse.connect

    def connect(pulse: Pulse, parameters: Mapping[str, Any], patience: float) -> WatchedConnection:
        made = real(pulse, parameters, patience)
        pulse._on_silence()
        return made

    monkeypatch.setattr(Pulse, "connect", connect)
    with engine.connect() as connection:
        held = database.cursor(connection).connection
        connection.exec_driver_sql("SELECT 1")  # it is open
    assert held.closed
    database.shut(engine)


def test_a_connection_that_is_returned_while_the_pool_is_replaced_is_closed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, real = database.connect(database_url), QueuePool.dispose
    late = engine.connect()
    held = database.cursor(late).connection

    def dispose(pool: QueuePool) -> None:
        real(pool)
        late.close()

    monkeypatch.setattr(QueuePool, "dispose", dispose)
    engine._pulse._on_silence()
    assert held.closed
    database.shut(engine)


def test_a_pool_that_was_replaced_makes_new_connections(database_url: str) -> None:
    engine = database.connect(database_url)
    with engine.connect() as connection:
        first = database.cursor(connection).connection
    engine._pulse._on_silence()
    assert first.closed
    with engine.connect() as connection:
        second = database.cursor(connection).connection
        assert second is not first
    with engine.connect() as connection:
        assert database.cursor(connection).connection is second, "it went back into the new pool"
    database.shut(engine)
