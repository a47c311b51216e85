"""Whether the database has the tables of this version, asked of Postgres' catalogue: no lock on a table delays that."""

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.tables import metadata


def is_migrated(connection: Connection) -> bool:
    """Whether every table and every column is there."""
    wanted = {(table.name, column.name) for table in metadata.sorted_tables for column in table.columns}
    rows = database.cursor(connection).execute(_COLUMNS, {"tables": list(metadata.tables)}).fetchall()
    return wanted <= set(rows)


_COLUMNS = """
SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%(tables)s) AND attnum > 0 AND NOT attisdropped
"""
