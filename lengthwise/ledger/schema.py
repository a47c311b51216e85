"""Whether the database has the tables of this version, asked of Postgres' catalogue: no lock on a table delays that."""

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.tables import metadata


def incomplete_tables(connection: Connection) -> list[str]:
    """The tables that are missing, or lack a column."""
    rows = database.cursor(connection).execute(_COLUMNS, {"tables": list(metadata.tables)}).fetchall()
    found = set(rows)
    return [
        table.name
        for table in metadata.sorted_tables
        if not found.issuperset((table.name, column.name) for column in table.columns)
    ]


_COLUMNS = """
SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%(tables)s) AND attnum > 0 AND NOT attisdropped
"""
