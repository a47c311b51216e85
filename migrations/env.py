"""Runs Alembic: one process at a time, one transaction for each migration, and no long waits for locks under load."""

import time

from alembic import context
from sqlalchemy import Connection, text

from lengthwise import settings
from lengthwise.database import connect
from lengthwise.migrate import STATEMENT_SECONDS
from lengthwise.tables import metadata

# The number of the advisory lock. It can be any number, as long as every process uses the same.
_RUNNER_LOCK = 0x6C656E67


def wait_for_turn(connection: Connection) -> None:
    """Waits until no other process migrates this database. Asks repeatedly, and does not wait in one statement.

    Such a statement would be a deadlock: building an index without blocking writers waits for all running statements,
    and the statement would wait for the process that builds the index.
    """
    while not connection.execute(text(f"SELECT pg_try_advisory_lock({_RUNNER_LOCK})")).scalar():
        connection.commit()
        time.sleep(0.2)
    connection.commit()


def run(connection: Connection) -> None:
    wait_for_turn(connection)
    try:
        # While a migration waits for a lock, every query behind it waits too. So it gives up soon, and is tried again.
        connection.execute(text("SET lock_timeout = '2s'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            compare_server_default=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({_RUNNER_LOCK})"))
        connection.commit()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    current = settings.get()
    url = current.database_session_url or current.require_database_url()
    own = connect(url, connections=1, statement_seconds=STATEMENT_SECONDS)
    with own.connect() as opened:
        run(opened)
    own.dispose()
