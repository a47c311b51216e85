"""Brings a database to the newest schema; several processes may call it at once."""

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config

from lengthwise.database import connect


def config() -> Config:
    """Alembic's configuration for the migrations that were installed with this package."""
    spec = find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the migrations package is not installed")
    found = Config()
    found.set_main_option("script_location", str(Path(next(iter(spec.submodule_search_locations)))))
    return found


def upgrade(database_url: str) -> None:
    """Runs every migration that this database lacks, in one transaction, under an advisory lock."""
    engine = connect(database_url, connections=1)
    try:
        with engine.connect() as connection:
            running = config()
            running.attributes["connection"] = connection
            command.upgrade(running, "head")
    finally:
        engine.dispose()
