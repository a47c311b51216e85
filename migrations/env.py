"""How Alembic runs here: one runner at a time, a transaction a migration, no long wait for a lock under load."""

import time

from alembic import context
from sqlalchemy import Connection, text

from lengthwise import settings
from lengthwise.database import connect
from lengthwise.tables import metadata

# Any constant will do, as long as every runner takes the same one.
_RUNNER_LOCK = 0x6C656E67


def wait_for_turn(connection: Connection) -> None:
    """Asks again and again rather than waiting in one statement: an index that the other runner builds without blocking
    writers would wait for that statement, and it for the other runner.
    """
    while not connection.execute(text(f"SELECT pg_try_advisory_lock({_RUNNER_LOCK})")).scalar():
        connection.commit()
        time.sleep(0.2)
    connection.commit()


def run(connection: Connection) -> None:
    wait_for_turn(connection)
    try:
        # A migration that waits for a lock makes every query behind it wait too: give up soon, try again.
        connection.execute(text("SET lock_timeout = '2s'"))
        connection.execute(text("SET statement_timeout = '15min'"))
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
    own = connect(settings.get().require_database_url(), connections=1)
    with own.connect() as opened:
        run(opened)
    own.dispose()
