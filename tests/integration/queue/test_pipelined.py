"""A transaction whose BEGIN and COMMIT travel with its statements is a transaction like any other."""

import psycopg
import pytest

from lengthwise import bells, database
from lengthwise.bells import Bell
from lengthwise.settings import Settings
from tests.ledger import sql

pytestmark = pytest.mark.usefixtures("installed")
_ADD = """
INSERT INTO turns (pool, priority, tenant_id, last_finish)
VALUES (%s, 1, '00000000-0000-0000-0000-000000000001', 1) RETURNING pool
"""


def pools() -> list[str]:
    return [pool for (pool,) in sql("SELECT pool FROM turns ORDER BY pool")]


def test_it_is_committed_at_the_end_and_its_last_results_are_read_after_it() -> None:
    with database.engine().begin(pipelined=True) as connection:
        first, second = database.cursor(connection), database.cursor(connection)
        first.execute(_ADD, ["a"])
        assert first.fetchall() == [("a",)]
        second.execute(_ADD, ["b"])
        assert pools() == []
    assert second.fetchall() == [("b",)]
    assert pools() == ["a", "b"]


@pytest.mark.parametrize("is_read", [True, False])
def test_it_is_rolled_back_if_the_block_raises(is_read: bool) -> None:
    for _ in range(3):
        with pytest.raises(RuntimeError), database.engine().begin(pipelined=True) as connection:
            added = database.cursor(connection).execute(_ADD, ["a"])
            if is_read:
                added.fetchall()
            raise RuntimeError
    assert pools() == []
    with database.engine().begin() as connection:  # the connection is as before
        assert not database.cursor(connection).connection.autocommit
        database.cursor(connection).execute(_ADD, ["a"])
    assert pools() == ["a"]


def test_a_statement_that_fails_undoes_those_before_it_and_raises_although_nobody_reads() -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), database.engine().begin(pipelined=True) as connection:
        database.cursor(connection).execute(_ADD, ["a"])
        database.cursor(connection).execute("SELECT 1 / 0")
    assert pools() == []


def test_a_commit_that_fails_raises() -> None:
    sql("ALTER TABLE turns ADD CONSTRAINT one UNIQUE (last_finish) DEFERRABLE INITIALLY DEFERRED")
    with pytest.raises(psycopg.errors.UniqueViolation), database.engine().begin(pipelined=True) as connection:
        for pool in "ab":
            database.cursor(connection).execute(_ADD, [pool])
    assert pools() == []


def test_bells_ring_after_the_commit_only(installed: Settings) -> None:
    rung: list[Bell] = []
    base = database.connect(installed.require_database_url(), ring=rung.append)
    with base.begin(pipelined=True) as connection:
        bells.note(connection, bells.DELIVER)
        assert not rung
    with pytest.raises(RuntimeError), base.begin(pipelined=True) as connection:
        bells.note(connection, bells.DELIVER)
        raise RuntimeError
    assert [bell.task for bell in rung] == [bells.DELIVER]
    base.dispose()


def test_a_session_that_is_ended_meanwhile_is_an_error_of_the_connection() -> None:
    with pytest.raises(psycopg.OperationalError), database.engine().begin(pipelined=True) as connection:
        cursor = database.cursor(connection)
        pid = cursor.connection.info.backend_pid
        with psycopg.connect(cursor.connection.info.dsn) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
        cursor.execute("SELECT 1").fetchall()
    assert pools() == []
