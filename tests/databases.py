"""Databases for tests. One that a test leaves in order is emptied and lent again: to make one takes far longer."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import make_url

#: A process that has just ended is given this long to leave.
_LEAVING_SECONDS = 0.2

# Everything that a test may change besides rows: what there is, and who may use it.
_SHAPE = """
SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
  SELECT (oid, relname, relkind, relpersistence, reloptions, relacl)::text AS part
  FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT (attrelid, attname, atttypid, attnum, attnotnull, atthasdef, attstattarget, attacl)::text
  FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT (conname, pg_get_constraintdef(oid))::text
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT (indexrelid, indisvalid)::text FROM pg_index WHERE indexrelid >= 16384
  UNION ALL SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT (proname, prosrc)::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT (starelid, staattnum)::text FROM pg_statistic WHERE starelid >= 16384
  UNION ALL SELECT setconfig::text FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
  WHERE datname = current_database()
  UNION ALL SELECT (datallowconn, datconnlimit, datacl)::text FROM pg_database WHERE datname = current_database()
  UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_'
) every (part)
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname"


@dataclass(frozen=True)
class _Template:
    """What a database is like before a test."""

    shape: str
    tables: list[str]
    #: The rows that migrations write, in the form of COPY.
    rows: dict[str, bytes]


@dataclass
class Databases:
    """Databases that are like ``template``, which must have no sessions while one is made."""

    template: str
    _spare: list[str] = field(default_factory=list)
    _like: _Template | None = None

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Yields the URL of a migrated, empty database. Its sessions are ended with the block, at the latest."""
        if self._like is None:
            self._like = _read(self.template)
        url = self._spare.pop() if self._spare else self._made(f"TEMPLATE {make_url(self.template).database}")
        try:
            yield url
        finally:
            if _is_emptied(url, self._like):
                self._spare.append(url)
            else:
                drop(url)

    @contextmanager
    def bare(self) -> Iterator[str]:
        """Yields the URL of an empty database without our tables."""
        url = self._made("")
        try:
            yield url
        finally:
            drop(url)

    def drop_spare(self) -> None:
        while self._spare:
            drop(self._spare.pop())

    def _made(self, options: str) -> str:
        url = with_database(self.template, new_name())
        administer(url, f"CREATE DATABASE {make_url(url).database} {options}")
        return url


def new_name() -> str:
    return f"lengthwise_test_{uuid.uuid4().hex[:12]}"


def with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def administer(url: str, statement: str) -> None:
    """Runs one statement outside a transaction, on the database ``postgres``: a template may have no sessions."""
    with psycopg.connect(with_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())


def drop(url: str) -> None:
    administer(url, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


def _read(template: str) -> _Template:
    with psycopg.connect(template) as connection:
        tables = [name for (name,) in connection.execute(_TABLES)]
        rows = {name: _copied(connection, name) for name in _filled(connection, tables)}
        return _Template(_shape(connection), tables, rows)


def _is_emptied(url: str, like: _Template) -> bool:
    """Empties the database. False if somebody still uses it, or if more of it than its rows has changed."""
    try:
        with psycopg.connect(url) as connection:
            if _is_used(connection) or _shape(connection) != like.shape:
                return False
            changed = [
                name
                for name in _filled(connection, like.tables)
                if name not in like.rows or _copied(connection, name) != like.rows[name]
            ]
            if changed:
                names = SQL(", ").join(map(Identifier, changed))
                connection.execute(SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
            for name in like.rows.keys() - _filled(connection, list(like.rows)):
                with connection.cursor().copy(SQL("COPY {} FROM STDIN").format(Identifier(name))) as copying:
                    copying.write(like.rows[name])
        return True
    except psycopg.Error:
        return False


def _is_used(connection: psycopg.Connection) -> bool:
    gives_up_at = time.monotonic() + _LEAVING_SECONDS
    while _one(connection, _OTHERS):
        if time.monotonic() > gives_up_at:
            return True
        time.sleep(0.01)
        connection.rollback()  # the next look is at a new snapshot of the sessions
    return False


def _shape(connection: psycopg.Connection) -> str:
    return str(_one(connection, _SHAPE))


def _one(connection: psycopg.Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _filled(connection: psycopg.Connection, tables: list[str]) -> set[str]:
    each = SQL("SELECT {} WHERE EXISTS (SELECT FROM {})")
    asked = SQL(" UNION ALL ").join(each.format(name, Identifier(name)) for name in tables)
    return {name for (name,) in connection.execute(asked)}


def _copied(connection: psycopg.Connection, table: str) -> bytes:
    with connection.cursor().copy(SQL("COPY {} TO STDOUT").format(Identifier(table))) as copying:
        return b"".join(map(bytes, copying))
