"""A Postgres that is silent or locked is away: callers get a 503 within seconds, and all is well again soon after."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise import database, settings
from lengthwise.database import Database, translated
from lengthwise.errors import Unavailable
from lengthwise.settings import Settings
from tests.caller import bearer, calling
from tests.faults.proxy import Mode, Proxy
from tests.integration.access.keys import new_key
from tests.integration.conftest import RunWorker, submit
from tests.ledger import sql
from tests.servers import wait_until

#: What is promised, and something for a busy machine. Without time-outs, these calls take 40 seconds or for ever.
ANSWER_SECONDS = 5.0 + 3.0


@pytest.fixture
def proxy(installed: Settings) -> Iterator[Proxy]:
    """Stands between the API and Postgres. In every mode it acknowledges what is sent, as a stopped server does."""
    url = make_url(installed.require_database_url())
    with Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432") as made:
        yield made


@pytest.fixture
def proxied(proxy: Proxy, installed: Settings) -> str:
    url = make_url(installed.require_database_url())
    through = url.set(host="127.0.0.1", port=proxy.port, query={})
    return through.render_as_string(hide_password=False)


@pytest.fixture
def far(proxied: str, catalog: object, installed: Settings) -> Iterator[TestClient]:
    """The API behind the proxy."""
    app = create_app(settings.get().model_copy(update={"database_url": proxied}))
    with calling(app, raise_server_exceptions=False) as made:
        use_stored_key(made)
        yield made


def use_stored_key(client: TestClient) -> None:
    """A key that is looked up, unlike the operator's."""
    client.headers.update(bearer(new_key(client, "admin")["key"]))


@pytest.fixture
def pool(proxied: str) -> Iterator[Database]:
    made = database.connect(proxied, 5)
    yield made
    database.shut(made)


ASKED: list[tuple[str, str]] = [
    ("GET", "/v1/jobs"),
    ("GET", "/v1/models"),
    ("POST", "/v1/jobs"),
    ("GET", "/readyz"),
    ("GET", "/healthz"),
]


def ask(client: TestClient, method: str, path: str) -> tuple[str, httpx2.Response, float]:
    began = time.monotonic()
    body = {"kind": "generate", "items": ["text"]} if method == "POST" else None
    answer = client.request(method, path, json=body)
    return path, answer, time.monotonic() - began


def ask_all(client: TestClient, times: int) -> list[tuple[str, httpx2.Response, float]]:
    """Asks everything ``times`` times, all at once."""
    with ThreadPoolExecutor(len(ASKED) * times) as threads:
        waiting = [threads.submit(ask, client, *each) for each in ASKED for _ in range(times)]
        return [each.result() for each in waiting]


def assert_nobody_waited(answers: list[tuple[str, httpx2.Response, float]]) -> None:
    for path, answer, seconds in answers:
        assert seconds < ANSWER_SECONDS, path
        if path == "/healthz":
            assert answer.status_code == 200
        elif path == "/readyz":
            assert answer.status_code == 503
        else:
            assert answer.status_code in (200, 503), answer.text
            assert answer.status_code == 200 or int(answer.headers["retry-after"]) > 0


def works_again(client: TestClient) -> bool:
    return all(answer.status_code < 300 for _, answer, _ in ask_all(client, 1))


@pytest.mark.parametrize("mode", [Mode.STALL, Mode.HALF_OPEN])
def test_while_postgres_is_silent_everybody_is_answered(far: TestClient, proxy: Proxy, mode: Mode) -> None:
    assert works_again(far)
    proxy.switch(mode)
    # More than the API has threads, at first at once and then again: it knows by then that the server is away.
    answers = ask_all(far, 20)
    assert_nobody_waited(answers)
    assert any(answer.status_code == 503 for path, answer, _ in answers if path == "/v1/jobs")
    began = time.monotonic()
    assert_nobody_waited(ask_all(far, 20))
    assert time.monotonic() - began < ANSWER_SECONDS
    proxy.switch(Mode.PASS)
    wait_until(lambda: works_again(far), 10)


@contextmanager
def locked(table: str, url: str) -> Iterator[None]:
    """Another program alters the table and takes its time."""
    with psycopg.connect(url) as operator:
        operator.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        operator.rollback()


@pytest.mark.parametrize("table", ["jobs", "shards", "items", "tenants", "keys", "workers"])
def test_while_a_table_is_locked_everybody_is_answered(client: TestClient, installed: Settings, table: str) -> None:
    use_stored_key(client)
    submit(client, ["text"])
    with locked(table, installed.require_database_url()):
        answers = ask_all(client, 20)
        for path, answer, seconds in answers:
            assert seconds < ANSWER_SECONDS, path
            assert answer.status_code in (200, 202, 503), answer.text
            assert path != "/healthz" or answer.status_code == 200
        wait_until(lambda: client.get("/readyz").status_code == 200, 5)  # it needs a free connection, and no table
    wait_until(lambda: works_again(client), 10)


def test_work_goes_on_after_a_lock(client: TestClient, run_worker: RunWorker, installed: Settings) -> None:
    job = submit(client, ["text"])
    with locked("shards", installed.require_database_url()), pytest.raises(Unavailable):
        run_worker_once()
    run_worker()
    assert sql("SELECT state FROM jobs WHERE id = :job", job=job["id"]) == [("completed",)]


def run_worker_once() -> None:
    with translated(), database.engine().begin() as connection:
        connection.execute(text("SELECT FROM shards FOR UPDATE SKIP LOCKED"))


def sleep_in_postgres(pool: Database) -> None:
    with translated(), pool.begin() as connection:
        connection.execute(text("SELECT pg_sleep(6)"))


def copy_slowly(pool: Database) -> None:
    """A server that takes its time between two rows is not silent."""
    with (
        translated(),
        pool.begin() as connection,
        database.cursor(connection).copy("COPY (SELECT pg_sleep(3) FROM generate_series(1, 2)) TO STDOUT") as rows,
    ):
        assert len(list(rows)) == 2


@pytest.mark.parametrize("statement", [sleep_in_postgres, copy_slowly])
def test_a_long_statement_of_a_live_server_is_not_cut(pool: Database, statement: Callable[[Database], None]) -> None:
    statement(pool)


@pytest.mark.parametrize("statement", [sleep_in_postgres, copy_slowly])
def test_a_long_statement_ends_when_the_server_falls_silent(
    pool: Database, proxy: Proxy, statement: Callable[[Database], None]
) -> None:
    timer = threading.Timer(0.5, proxy.switch, [Mode.STALL])
    timer.start()
    began = time.monotonic()
    try:
        with pytest.raises(Unavailable):
            statement(pool)
        assert time.monotonic() - began < ANSWER_SECONDS
        with pytest.raises(Unavailable), translated(), pool.begin():
            pass
    finally:
        timer.join()
        proxy.switch(Mode.PASS)
    wait_until(lambda: answers(pool), 10)


def answers(pool: Database) -> bool:
    try:
        with translated(), pool.begin() as connection:
            return connection.execute(text("SELECT 1")).scalar() == 1
    except Unavailable:
        return False


def test_a_statement_that_runs_for_too_long_is_ended(database_url: str) -> None:
    pool = database.connect(database_url, 1, statement_seconds=0.5)
    with pytest.raises(Unavailable, match="takes too long"):
        sleep_in_postgres(pool)
    assert answers(pool)
    database.shut(pool)


@pytest.fixture
def unpinged(proxied: str) -> Iterator[Database]:
    """A worker's pool: it does not test a connection before it uses it."""
    made = database.connect(proxied, 3, pings=False)
    yield made
    database.shut(made)


def forget_connections(proxy: Proxy) -> None:
    """Something in between forgets all connections: new ones work, and nothing more ever comes on these."""
    proxy.switch(Mode.HALF_OPEN)
    proxy.switch(Mode.PASS)


def test_a_dead_connection_to_a_live_server_is_given_up(unpinged: Database, proxy: Proxy) -> None:
    with pytest.raises(Unavailable), translated(), unpinged.begin() as connection:
        connection.execute(text("SELECT 1"))
        forget_connections(proxy)
        began = time.monotonic()
        connection.execute(text("SELECT 1"))
    assert time.monotonic() - began < ANSWER_SECONDS
    assert answers(unpinged)


def test_idle_connections_that_died_with_it_delay_nobody_else(unpinged: Database, proxy: Proxy) -> None:
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda _: take_a_moment(unpinged), range(3))) == [True] * 3
    assert unpinged.engine.pool.checkedin() == 3  # type: ignore[attr-defined]
    forget_connections(proxy)
    assert not answers(unpinged)
    assert all(answers(unpinged) for _ in range(3))


def take_a_moment(pool: Database) -> bool:
    with pool.begin() as connection:
        return connection.execute(text("SELECT pg_sleep(0.3)")) is not None


def test_a_statement_that_waits_for_a_lock_is_not_cut(pool: Database, database_url: str) -> None:
    with psycopg.connect(database_url) as operator, ThreadPoolExecutor(1) as thread:
        operator.execute("CREATE TABLE parts (); LOCK TABLE parts IN ACCESS EXCLUSIVE MODE")
        operator.commit()
        operator.execute("LOCK TABLE parts IN ACCESS EXCLUSIVE MODE")

        def wait_for_lock() -> None:
            with translated(), pool.begin() as connection:
                database.limit_lock_wait(connection, 30)
                connection.execute(text("SELECT FROM parts"))

        waiting = thread.submit(wait_for_lock)
        time.sleep(4.5)
        operator.rollback()
        waiting.result()


def test_threads_do_not_queue_for_a_connection_that_does_not_become_free(database_url: str) -> None:
    pool = database.connect(database_url, 1, pool_seconds=0.5)
    with pool.begin() as held:
        held.execute(text("SELECT 1"))
        with pytest.raises(Unavailable, match="busy"), translated(), pool.begin():
            pass
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(Unavailable, match="busy"), translated(), pool.begin():
                pass
        assert time.monotonic() - began < 5, "each of them would have waited for half a second"
    assert answers(pool)
    database.shut(pool)
