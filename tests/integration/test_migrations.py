"""The schema's history, as Alembic sees it."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from lengthwise import migrate

ROOT = Path(__file__).parents[2]


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


def test_alembic_check_finds_the_migrations_and_the_tables_alike(database_url: str) -> None:
    checked = alembic(database_url, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_history_can_be_walked_back_and_forth(database_url: str) -> None:
    before = n_tables(database_url)
    down = alembic(database_url, "downgrade", "base")
    assert down.returncode == 0, down.stderr
    assert n_tables(database_url) == 1  # Alembic's own
    migrate.upgrade(database_url)
    assert n_tables(database_url) == before


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = n_tables(database_url)
    migrate.upgrade(database_url)
    assert n_tables(database_url) == before
