"""How Alembic runs here: one transaction, one runner at a time, and never waiting long for a lock under load."""

from alembic import context
from sqlalchemy import Connection, text

from lengthwise import settings
from lengthwise.database import connect
from lengthwise.tables import metadata

# Any constant will do, as long as every runner takes the same one.
_RUNNER_LOCK = 0x6C656E67


def run(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_lock({_RUNNER_LOCK})"))
    try:
        # A migration that waits for a lock makes every query behind it wait too: give up soon, try again.
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.execute(text("SET statement_timeout = '15min'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
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
