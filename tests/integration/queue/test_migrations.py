"""The schema's history, as Alembic sees it."""

import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url
from starlette.testclient import TestClient

from lengthwise import database, migrate
from lengthwise.errors import ConfigurationError, Unavailable
from lengthwise.ledger import tally
from lengthwise.ledger.accounts import usage
from lengthwise.ledger.accounts.usage import UsageGroup
from lengthwise.settings import Settings
from tests import ledger
from tests.integration.conftest import RunWorker, read_job, submit

ROOT = Path(__file__).parents[3]


def alembic(database_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=os.environ | {"LENGTHWISE_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )


def n_tables(database_url: str) -> int:
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row is not None
    return int(row[0])


def test_the_migrations_match_the_tables(database_url: str) -> None:
    checked = alembic(database_url, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_migration_can_be_reverted_and_repeated(database_url: str) -> None:
    before = n_tables(database_url)
    down = alembic(database_url, "downgrade", "base")
    assert down.returncode == 0, down.stderr
    assert n_tables(database_url) == 1  # Alembic's own
    migrate.upgrade(database_url)
    assert n_tables(database_url) == before


OLD_JOB = """
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded, chunk_items)
VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'generate', 'echo', '{}', 1, 'open', 1, 1, 1, 10000)
RETURNING id
"""
OLD_SHARD = """
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state)
VALUES (%s, 'echo:test', 0, 0, 1, 1, 1, 0, 'ready')
"""


def test_the_previous_release_works_during_and_after_the_migration(database_url: str) -> None:
    """Runs the previous release's statements in three sessions, one of them slow. None fails or waits for long."""
    assert alembic(database_url, "downgrade", "0001").returncode == 0
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    is_over = Event()
    waits: list[float] = []

    def work(hold_seconds: float) -> int:
        done = 0
        with psycopg.connect(url) as connection:
            while not is_over.is_set() or done < 10:
                began = time.monotonic()
                row = connection.execute(OLD_JOB).fetchone()
                assert row
                connection.execute(OLD_SHARD, row)
                connection.execute("UPDATE shards SET state = 'done', attempts = attempts + 1 WHERE job_id = %s", row)
                waits.append(time.monotonic() - began)
                time.sleep(hold_seconds)
                connection.commit()
                done += 1
        return done

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work, hold_seconds) for hold_seconds in (0, 0.001, 0.3)]
        time.sleep(0.5)
        migrate.upgrade(database_url)
        is_over.set()
        n_jobs = sum(each.result(timeout=60) for each in working)
    with psycopg.connect(url) as connection:
        settled = connection.execute("SELECT count(*) FROM shards WHERE state = 'done' AND deaths = 0").fetchone()
    assert settled == (n_jobs,)
    assert max(waits) < 10, "what a migration waits for behind others it gives up soon"
    assert alembic(database_url, "check").returncode == 0


def test_a_job_from_before_the_upgrade_finishes_and_downloads_after_it(
    client: TestClient, run_worker: RunWorker, database_url: str
) -> None:
    job = submit(client, ["abc", "", "x" * 600])["id"]
    assert alembic(database_url, "downgrade", "0006").returncode == 0
    migrate.upgrade(database_url)
    run_worker()
    found = read_job(client, job)
    assert (found["state"], found["counts"]["succeeded"], found["counts"]["failed"]) == ("completed", 2, 1)
    assert found["table"] is None
    for form in ("csv", "parquet"):
        assert client.get(f"/v1/jobs/{job}/results?format={form}").status_code == 200
    assert client.get(f"/v1/jobs/{job}/results").text.count("\n") == 3
    assert client.post(f"/v1/jobs/{job}/retry").status_code == 409, "the only failed item is too long still"


def test_a_large_job_from_before_tallies_keeps_its_figures(installed: Settings, database_url: str) -> None:
    job = ledger.submit(["x" * 10] * 2 * tally.MANY_SHARDS, shard_items=1)
    ledger.put(ledger.must_take(items=5), n_warned={"blank": 1})
    before = ledger.figures(job)
    assert alembic(database_url, "downgrade", "0008").returncode == 0
    migrate.upgrade(database_url)
    after = ledger.figures(job)
    assert (after.counts, after.n_warned, after.n_output) == (before.counts, {"blank": 5}, 5)
    assert not ledger.sql("SELECT FROM shards WHERE is_tallied IS NOT NULL"), "no row was written"
    while ledger.sql("SELECT FROM shards WHERE state = 'ready'"):
        ledger.put(ledger.must_take())
    assert (ledger.state(job), ledger.counts(job)["succeeded"]) == ("completed", 2 * tally.MANY_SHARDS)


def test_open_jobs_from_before_stores_go_on_and_jobs_in_stores_survive_a_downgrade(
    installed: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ledger.submit(["x" * 10] * 20, shard_items=5)
    ledger.put(ledger.must_take(items=5))
    assert alembic(database_url, "downgrade", "0009").returncode == 0
    migrate.upgrade(database_url)
    ledger.knobs(monkeypatch, large_job_items=10)
    large = ledger.submit(["x" * 10] * 20, shard_items=5)
    ledger.put(ledger.must_take(items=5))
    assert [ledger.figures(each).store for each in (job, large)] == [0, 1]
    assert alembic(database_url, "downgrade", "0009").returncode == 0
    migrate.upgrade(database_url)
    for claimed in ledger.take_all():
        ledger.put(claimed)
    for each in (job, large):
        assert (ledger.figures(each).store, ledger.state(each), len(ledger.outputs(each))) == (0, "completed", 20)
    assert not ledger.sql("SELECT FROM stores WHERE job_id IS NOT NULL")


#: What the releases before usage by model write after a request, and after the end of a job.
OLD_REQUESTS = """
INSERT INTO usage AS kept (tenant_id, day, key_id, requests) VALUES (%(tenant)s, '2031-01-31', %(key)s, 1)
ON CONFLICT (tenant_id, day, key_id) DO UPDATE SET requests = kept.requests + excluded.requests
"""
OLD_WORK = """
INSERT INTO usage AS kept (tenant_id, day, key_id, items, input_tokens, output_tokens)
VALUES (%(tenant)s, '2031-01-31', %(key)s, 2, 20, 200)
ON CONFLICT (tenant_id, day, key_id) DO UPDATE
SET items = kept.items + excluded.items, input_tokens = kept.input_tokens + excluded.input_tokens,
    output_tokens = kept.output_tokens + excluded.output_tokens
"""


def test_usage_of_the_previous_release_counts_before_during_and_after_the_migration(
    installed: Settings, database_url: str
) -> None:
    assert alembic(database_url, "downgrade", "0012").returncode == 0
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    named, is_over = {"tenant": ledger.DEFAULT, "key": ledger.DEFAULT}, Event()

    def count() -> int:
        done = 0
        with psycopg.connect(url, autocommit=True) as connection:
            while not is_over.is_set() or done < 10:
                for statement in (OLD_REQUESTS, OLD_WORK):
                    connection.execute(statement, named)
                done += 1
        return done

    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(count)
        time.sleep(0.2)
        migrate.upgrade(database_url)
        time.sleep(0.2)
        is_over.set()
        n_times = counting.result(timeout=60)
    ledger.sql(
        "INSERT INTO model_usage VALUES (:tenant, '2031-01-31', :key, 'echo', 3, 30, 300)",
        tenant=ledger.DEFAULT,
        key=ledger.DEFAULT,
    )
    day = date(2031, 1, 31)
    with database.engine().begin() as connection:
        sums = usage.sums(connection, ledger.DEFAULT, day, day, {UsageGroup.MODEL})
    assert [(row.model, row.requests, row.items, row.input_tokens, row.output_tokens) for row in sums] == [
        ("", n_times, 2 * n_times, 20 * n_times, 200 * n_times),
        ("echo", 0, 3, 30, 300),
    ]
    assert alembic(database_url, "downgrade", "0012").returncode == 0
    assert ledger.sql("SELECT requests, items, input_tokens, output_tokens FROM usage") == [
        (n_times, 2 * n_times + 3, 20 * n_times + 30, 200 * n_times + 300)
    ]
    migrate.upgrade(database_url)


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = n_tables(database_url)
    migrate.upgrade(database_url)
    assert n_tables(database_url) == before


def refusal(database_url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        migrate.require_current(database_url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def run(database_url: str, statement: str) -> None:
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def test_a_program_starts_on_its_own_schema(database_url: str) -> None:
    migrate.require_current(database_url)


def test_a_program_on_an_older_schema_names_the_command(database_url: str) -> None:
    assert alembic(database_url, "downgrade", "0007").returncode == 0
    assert refusal(database_url).startswith("the database's schema is 0007, and this program needs 0")
    assert refusal(database_url).endswith("run lengthwise migrate")
    assert alembic(database_url, "downgrade", "base").returncode == 0
    assert refusal(database_url) == "the database has no schema yet: run lengthwise migrate"


def test_an_older_program_on_a_newer_schema_says_so_and_changes_nothing(database_url: str) -> None:
    run(database_url, "UPDATE alembic_version SET version_num = '9999'")
    before = n_tables(database_url)
    assert refusal(database_url).startswith("the database's schema is 9999, which this program does not know")
    with pytest.raises(ConfigurationError, match="9999, which this program does not know"):
        migrate.upgrade(database_url)
    assert n_tables(database_url) == before


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE shards DROP COLUMN n_padded",
        "DROP TABLE deliveries CASCADE",
        "ALTER TABLE jobs RENAME kind TO sort",
    ],
)
def test_a_schema_that_was_changed_by_hand_names_the_table(database_url: str, change: str) -> None:
    run(database_url, change)
    assert f"the table {change.split()[2]} of the database is not that of schema" in refusal(database_url)


def test_the_commands_end_with_that_line(database_url: str) -> None:
    run(database_url, "UPDATE alembic_version SET version_num = '9999'")
    servers = {"LENGTHWISE_DATABASE_URL": database_url, "LENGTHWISE_REDIS_URL": "redis://127.0.0.1:1/0"}
    for command in ("api", "worker", "migrate"):
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "lengthwise", command],
            env=os.environ | servers,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2, command
        assert ended.stderr.count("\n") == 1, ended.stderr
        assert ended.stderr.startswith("lengthwise: the database's schema is 9999"), command


def lengthwise(database_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "lengthwise", *arguments],
        env=os.environ | {"LENGTHWISE_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"database": "no_such_database"}, "no_such_database"),
        ({"username": "no_such_user", "password": "CaNaRy"}, "no_such_user"),
        ({"host": "127.0.0.1", "port": 1, "query": {}}, "127.0.0.1"),
        ({"host": "127.0.0.1", "port": 99_999, "query": {}}, "99999"),
    ],
)
def test_migrate_says_in_one_line_why_there_is_no_connection(
    database_url: str, change: dict[str, Any], reason: str
) -> None:
    url = make_url(database_url).set(**change).render_as_string(hide_password=False)
    ended = subprocess.run(
        [sys.executable, "-m", "lengthwise", "migrate"],
        env=os.environ | {"LENGTHWISE_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("lengthwise: no connection to the database: ")
    assert ended.stderr.count("\n") == 1
    assert reason in ended.stderr and "CaNaRy" not in ended.stderr


def test_the_log_says_why_there_is_no_connection_and_repeats_it_seldom(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = make_url(database_url).set(database="no_such_database").render_as_string(hide_password=False)
    several = database.connect(wrong)
    caplog.clear()
    for _ in range(3):
        with pytest.raises(Unavailable), database.translated(), several.connect():
            pass
    said = [line for line in caplog.messages if line.startswith("no connection to the database: ")]
    assert len(said) == 1 and "no_such_database" in said[0]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:CaNaRy@[::1/x",
        "postgresql://u:CaNaRy@host:port/x",
        "postgresql://u:CaNaRy@host/x?no_such_option=1",
        "CaNaRy",
    ],
)
def test_a_database_url_of_a_wrong_form_is_an_error_that_does_not_show_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the database's URL has a wrong form") as caught:
        database.connect(url)
    assert "CaNaRy" not in str(caught.value) and caught.value.__suppress_context__


def test_waiting_ends_when_another_process_has_migrated(database_url: str) -> None:
    assert lengthwise(database_url, "migrate", "--wait", "0").returncode == 0
    assert alembic(database_url, "downgrade", "base").returncode == 0
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lengthwise, database_url, "migrate", "--wait", "120")
        time.sleep(1)
        assert n_tables(database_url) == 1, "it changes nothing"
        assert not waiting.done()
        migrate.upgrade(database_url)
        assert waiting.result(60).returncode == 0


def test_waiting_for_a_migration_that_does_not_come_ends_with_the_reason(database_url: str) -> None:
    assert alembic(database_url, "downgrade", "base").returncode == 0
    ended = lengthwise(database_url, "migrate", "--wait", "0.1")
    assert (ended.returncode, ended.stderr) == (
        2,
        "lengthwise: the database has no schema yet: run lengthwise migrate\n",
    )
    with pytest.raises(Unavailable):
        migrate.wait_until_current("postgresql://127.0.0.1:1/nobody", 0.1)


def test_a_migration_that_others_follow_is_never_edited() -> None:
    """A database that ran it would differ for ever from one that runs it now. Changes go into a new migration."""
    versions = ROOT / "migrations" / "versions"
    recorded = dict(line.split()[::-1] for line in (versions / "released.sha256").read_text().splitlines())
    *followed, newest = sorted(versions.glob("0*.py"))
    for migration in followed:
        found = hashlib.sha256(migration.read_bytes()).hexdigest()
        assert recorded.get(migration.name) == found, f"{migration.name} changed, or is missing in {versions.name}"
    assert set(recorded) <= {migration.name for migration in (*followed, newest)}
    assert recorded.get(newest.name) in (None, hashlib.sha256(newest.read_bytes()).hexdigest())
