"""Brings a database to the newest schema, and says whether a schema is this program's. Several processes may do so."""

import time
from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import OperationalError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from lengthwise.database import Database, connect, is_pooled, is_transient, sqlstate, translated
from lengthwise.errors import ConfigurationError, Unavailable
from lengthwise.ledger import schema
from lengthwise.waiting.pulse import one_line

_LOCK_NOT_AVAILABLE = "55P03"
#: The pause between two tries. In that of a migration, queries that waited behind the last try can run.
_PAUSE_SECONDS = 1.0
#: How long one statement of a migration may run, such as building an index.
STATEMENT_SECONDS = 15 * 60


def config() -> Config:
    """Alembic's configuration for the migrations that are installed with this package."""
    spec = find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the migrations package is not installed")
    found = Config()
    found.set_main_option("script_location", str(Path(next(iter(spec.submodule_search_locations)))))
    return found


def upgrade(database_url: str, patience_seconds: float = 300) -> None:
    """Runs every migration that this database lacks, each in its own transaction, under an advisory lock.

    A migration that waits for a lock for two seconds gives up, so that no query queues behind it for long. It is tried
    again for ``patience_seconds``. After that ``Unavailable`` is raised; migrations that succeeded remain.
    Also raises it if there is no connection.
    Raises ``ConfigurationError`` if the schema is newer than this program.
    """
    engine = connect(database_url, connections=1, statement_seconds=STATEMENT_SECONDS)
    ends_at = time.monotonic() + patience_seconds
    try:
        while not _upgraded(engine):
            if time.monotonic() > ends_at:
                raise Unavailable(
                    "the migration could not lock its tables: try again when long transactions have ended"
                )
            time.sleep(_PAUSE_SECONDS)
    finally:
        engine.dispose()


def _upgraded(engine: Database) -> bool:
    """Runs the migrations. Returns False if one could not get a lock in time."""
    try:
        with engine.connect() as connection:
            if is_pooled(connection):
                raise ConfigurationError(
                    "migrations need a session of Postgres itself, and a connection pooler stands before it: "
                    "set LENGTHWISE_DATABASE_SESSION_URL"
                )
            _known_revision(connection)
            connection.rollback()
            running = config()
            running.attributes["connection"] = connection
            command.upgrade(running, "head")
    except DBAPIError as error:
        if sqlstate(error) == _LOCK_NOT_AVAILABLE:
            return False
        if isinstance(error.orig, OperationalError) and is_transient(error):
            raise Unavailable(f"no connection to the database: {one_line(error.orig)}") from None
        raise
    return True


def require_current(database_url: str) -> None:
    """Raises ``ConfigurationError``, in one line, unless the schema is the one that this program was written for.

    Raises ``Unavailable`` if the database does not answer.
    """
    engine = connect(database_url, connections=1)
    try:
        with translated(), engine.connect() as connection:
            _require_current(connection)
    finally:
        engine.dispose()


def wait_until_current(database_url: str, patience_seconds: float) -> None:
    """Returns once the schema is the one that this program was written for: another process migrates. Changes nothing.

    Raises the error of ``require_current`` if that takes longer than ``patience_seconds``.
    """
    ends_at = time.monotonic() + patience_seconds
    while True:
        try:
            require_current(database_url)
        except (ConfigurationError, Unavailable):
            if time.monotonic() > ends_at:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _require_current(connection: Connection) -> None:
    found, needed = _known_revision(connection), ScriptDirectory.from_config(config()).get_current_head()
    if found is None:
        raise ConfigurationError("the database has no schema yet: run lengthwise migrate")
    if found != needed:
        raise ConfigurationError(
            f"the database's schema is {found}, and this program needs {needed}: run lengthwise migrate"
        )
    if incomplete := schema.incomplete_tables(connection):
        raise ConfigurationError(
            f"the table {incomplete[0]} of the database is not that of schema {found}: "
            "something other than lengthwise migrate has changed it"
        )


def _known_revision(connection: Connection) -> str | None:
    """The schema's revision; None if there is no schema. Raises ``ConfigurationError`` if it is not one of ours."""
    found = MigrationContext.configure(connection).get_current_heads()
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if unknown := sorted(set(found) - known):
        raise ConfigurationError(
            f"the database's schema is {unknown[0]}, which this program does not know: "
            "install the release of lengthwise that migrated it, or a later one"
        )
    return found[0] if found else None
