"""PostgreSQL ends sessions, stops immediately, and is migrated under load.

Recovery is the time from its return until the next settlement and the API's next 2xx. While it is away, the API must
answer 503 with Retry-After.
"""

import time

import psycopg

from lengthwise import migrate
from tests.faults.injected.fault import InjectedFault
from tests.faults.scene import Scene
from tests.faults.table import NAME

#: Seconds after PostgreSQL's return in which everything must work again.
_BOUND = 10.0

_TERMINATE = f"""
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name <> '{NAME}' AND pid <> pg_backend_pid()
"""  # noqa: S608 - of a constant


def _sessions_ended(scene: Scene) -> float:
    ends_at = time.monotonic() + scene.random.uniform(2, 3)
    while time.monotonic() < ends_at:
        scene.tables.ask(_TERMINATE)
        time.sleep(scene.random.uniform(0.02, 0.3))
    return scene.until_settling(time.monotonic())


def _stopped_at_once(scene: Scene) -> float:
    """Stops PostgreSQL immediately: no checkpoint, closed sessions, and recovery from the log at the next start."""
    stopped_at = time.monotonic()
    with scene.stack.postgres_down():
        time.sleep(scene.random.uniform(1, 2))
        _expect_unavailable(scene, stopped_at)
    return scene.until_settling(time.monotonic())


def _expect_unavailable(scene: Scene, since: float) -> None:
    seen = scene.client.statuses_between(since + 0.2, time.monotonic())
    if None in seen:
        scene.problems.append("the API broke connections while PostgreSQL was away")


def _migrated(scene: Scene) -> float:
    """Migrates to the newest schema, then adds and drops a column as a migration does: short locks, with retries."""
    began = time.monotonic()
    for _ in range(3):
        migrate.upgrade(scene.stack.database_url)
        _patiently(scene, "ALTER TABLE shards ADD COLUMN IF NOT EXISTS scratch integer")
        time.sleep(scene.random.uniform(0, 0.5))
        _patiently(scene, "ALTER TABLE shards DROP COLUMN IF EXISTS scratch")
    if None in scene.client.statuses_between(began, time.monotonic()):
        scene.problems.append("the API broke connections while the schema changed")
    return scene.until_settling(time.monotonic())


def _patiently(scene: Scene, statement: str) -> None:
    scene.tables.ask("SET lock_timeout = '200ms'")
    while True:
        try:
            scene.tables.ask(statement)
            return
        except psycopg.errors.LockNotAvailable:
            time.sleep(0.1)


FAULTS = (
    InjectedFault("pg_terminate_backend in a loop", _sessions_ended, _BOUND),
    InjectedFault("Postgres immediate stop", _stopped_at_once, _BOUND),
    InjectedFault("migration under load", _migrated, _BOUND),
)
