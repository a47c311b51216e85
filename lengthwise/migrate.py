"""Brings a database to the newest schema. Several processes may do so at once."""

import time
from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from lengthwise.database import Database, connect, sqlstate
from lengthwise.errors import Unavailable

_LOCK_NOT_AVAILABLE = "55P03"
#: The pause between two tries, in which queries that waited behind the last one can run.
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
            running = config()
            running.attributes["connection"] = connection
            command.upgrade(running, "head")
    except DBAPIError as error:
        if sqlstate(error) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True
