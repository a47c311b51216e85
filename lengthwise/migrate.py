"""Brings a database to the newest schema; several processes may call it at once."""

import time
from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from lengthwise.database import Database, connect, sqlstate
from lengthwise.errors import Unavailable

_LOCK_NOT_AVAILABLE = "55P03"
#: Between two tries: those who waited behind the last one come first.
_PAUSE_SECONDS = 1.0


def config() -> Config:
    """Alembic's configuration for the migrations that were installed with this package."""
    spec = find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the migrations package is not installed")
    found = Config()
    found.set_main_option("script_location", str(Path(next(iter(spec.submodule_search_locations)))))
    return found


def upgrade(database_url: str, patience_seconds: float = 300) -> None:
    """Runs every migration that this database lacks, each in its transaction, under an advisory lock.

    Under load: a lock that is not had within two seconds is given up, so that nobody queues behind it, and tried again
    for ``patience_seconds``. Raises ``Unavailable`` when that was in vain; what was done by then stays.
    """
    engine = connect(database_url, connections=1)
    ends_at = time.monotonic() + patience_seconds
    try:
        while not _upgraded(engine):
            if time.monotonic() > ends_at:
                raise Unavailable("the migration did not get its locks: try again when long transactions have ended")
            time.sleep(_PAUSE_SECONDS)
    finally:
        engine.dispose()


def _upgraded(engine: Database) -> bool:
    """False if a lock was not had in time."""
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
