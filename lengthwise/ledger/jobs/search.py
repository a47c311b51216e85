"""Finds a tenant's jobs by what they are, newest first. A page reads a limited number of rows, whatever it looks for.

One of the filters has an index in the order of the list, and leads. The others are checked on the jobs that it finds,
of which a page looks at so many. So a page may have few jobs, or none, although more follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.states import JobState

#: Jobs that one page looks at. Each is a row of its own place in the table, which may have to be read from the disk;
#: whether an open job has begun takes some look-ups more.
_LOOKS = 2_000
_LOOKS_AT_SHARDS = 400
#: If no more jobs have such a name, all of them are read, and sorted. Otherwise the list often meets one of them.
_FEW_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What is known of the jobs that are wanted; None if it does not matter."""

    state: JobState | None = None
    #: Of open jobs: whether any of its items has begun.
    is_begun: bool | None = None
    kind: str | None = None
    model: str | None = None
    tag: str | None = None
    key_id: UUID | None = None
    #: The beginning of their names.
    name: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """The ids of a page, and the job after which the next page begins; None at the end."""

    ids: list[UUID]
    next_after: UUID | None


def find(connection: Connection, tenant_id: UUID, wanted: JobFilter, last: JobFigures | None, limit: int) -> FoundJobs:
    """The newest ``limit`` jobs that are so, among those before ``last``."""
    search = _Search(connection, tenant_id, wanted, last)
    found = search.ids(limit + 1)
    if len(found) > limit:
        return FoundJobs(found[:limit], found[limit - 1])
    return FoundJobs(found, search.last_looked_at())


class _Search:
    def __init__(self, connection: Connection, tenant_id: UUID, wanted: JobFilter, last: JobFigures | None) -> None:
        self._cursor = database.cursor(connection)
        values = {name: getattr(wanted, name) for name in _EQUAL}
        self._given = {name: value for name, value in values.items() if value is not None}
        looks = _LOOKS if wanted.is_begun is None else _LOOKS_AT_SHARDS
        self._values: dict[str, Any] = self._given | {"tenant": tenant_id, "looks": looks}
        self._checks = [] if wanted.is_begun is None else [f"({_BEGUN})" if wanted.is_begun else f"NOT ({_BEGUN})"]
        self._ends = self._limits(wanted, last)
        self._order = "created_at DESC, id DESC"
        self._candidates = self._led_by_name(wanted.name) or self._led()

    def _limits(self, wanted: JobFilter, last: JobFigures | None) -> tuple[str, tuple[str, ...]]:
        """The time of the oldest job, and what its newest one is before: a time, or a time and an id.

        It is one limit at each end. Between two, an index would read all that only one of them excludes.
        """
        since, before = wanted.created_after, wanted.created_before
        if last is not None and (before is None or last.created_at < before):
            upper: dict[str, Any] = {"last_at": last.created_at, "last": last.id}
        else:
            upper = {} if before is None else {"before": before}
        self._values |= upper | ({} if since is None else {"since": since})
        return (
            "'-infinity'" if since is None else "%(since)s",
            tuple(f"%({name})s" for name in upper) or ("'infinity'",),
        )

    def _led_by_name(self, name: str | None) -> str | None:
        """The jobs with names that begin so, if they are few; else their names are checked."""
        if name is None:
            return None
        beyond = _beyond(name)
        self._values |= {"name": name} | ({} if beyond is None else {"beyond": beyond})
        has_name = "name >= %(name)s" + ("" if beyond is None else " AND name < %(beyond)s")
        self._cursor.execute(_NAMED.format(has_name=has_name), self._values | {"few": _FEW_NAMES + 1})
        named = [row[0] for row in self._cursor.fetchall()]
        if len(named) > _FEW_NAMES:
            self._checks.append(has_name)
            return None
        self._values["named"] = named
        self._checks += [_EQUAL[each] for each in self._given]
        return _ORDERED.format(where=f"jobs.id = ANY(%(named)s) AND {self._in_range('jobs', 'id')}", order=self._order)

    def _led(self) -> str:
        """The jobs that the most selective of the other filters finds, in the order of its index."""
        leader = next((name for name in _EQUAL if name in self._given), None)
        self._checks += [_EQUAL[name] for name in self._given if name != leader]
        if leader == "tag":
            return _TAGGED.format(where=self._in_range("job_tags", "job_id"))
        if leader is not None:
            self._order = f"{leader} DESC, {self._order}"
        return _ORDERED.format(where=self._in_range("jobs", "id", leader), order=self._order)

    def _in_range(self, table: str, row_id: str, leader: str | None = None) -> str:
        """That a row lies in the range of the list; with ``leader``, also that it has the wanted value in this column.

        An index that begins with this column has the range in one piece. An equation would let the planner use the
        index of the list without filters too, and read all other jobs.
        """
        since, upper = self._ends
        columns, values = ([], []) if leader is None else ([f"{table}.{leader}"], [f"%({leader})s"])
        columns += [f"{table}.created_at", f"{table}.{row_id}"]
        lower, beyond = [*values, since], [*values, *upper]
        return f"{_row(columns[: len(lower)])} >= {_row(lower)} AND {_row(columns[: len(beyond)])} < {_row(beyond)}"

    def ids(self, limit: int) -> list[UUID]:
        where = " AND ".join(self._checks) or "true"
        statement = _FOUND.format(candidates=self._candidates, where=where, order=self._order)
        return [row[0] for row in self._cursor.execute(statement, self._values | {"limit": limit}).fetchall()]

    def last_looked_at(self) -> UUID | None:
        """The last job that the page looked at; None if no other follows it."""
        self._cursor.execute(_LAST.format(candidates=self._candidates, order=self._order), self._values)
        row = self._cursor.fetchone()
        return None if row is None else row[0]


def _row(values: Sequence[str]) -> str:
    return f"({', '.join(values)})"


def _beyond(prefix: str) -> str | None:
    """The first text after all that begin with ``prefix``, in the order of their code points; None if there is none."""
    kept = prefix.rstrip(chr(_LAST_CODE))
    if not kept:
        return None
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(_AFTER_SURROGATES if _SURROGATES <= code < _AFTER_SURROGATES else code)


_LAST_CODE, _SURROGATES, _AFTER_SURROGATES = 0x10FFFF, 0xD800, 0xE000

#: The filters that ask for a value, the most selective one first.
_EQUAL = {
    "tag": "tags @> ARRAY[%(tag)s::text]",
    "key_id": "key_id = %(key_id)s",
    "model": "model = %(model)s",
    "kind": "kind = %(kind)s",
    "state": "state = %(state)s",
}

_NAMED = """
SELECT id FROM jobs WHERE tenant_id = %(tenant)s AND deleted_at IS NULL AND {has_name} ORDER BY name LIMIT %(few)s
"""

_ORDERED = """
SELECT * FROM jobs WHERE tenant_id = %(tenant)s AND deleted_at IS NULL AND {where} ORDER BY {order} LIMIT %(looks)s
"""

# OFFSET 0 keeps the planner from reading all jobs for the join. The order is that of the tags, which it knows.
_TAGGED = """
SELECT job_tags.job_id AS id, job_tags.created_at, state, kind, model, key_id, name, is_tallied
FROM job_tags CROSS JOIN LATERAL (
  SELECT state, kind, model, key_id, name, is_tallied FROM jobs
  WHERE jobs.id = job_tags.job_id AND deleted_at IS NULL OFFSET 0
) job
WHERE job_tags.tenant_id = %(tenant)s AND job_tags.tag = %(tag)s AND {where}
ORDER BY job_tags.created_at DESC, job_tags.job_id DESC LIMIT %(looks)s
"""

_FOUND = """
SELECT id FROM ({candidates}) jobs WHERE {where} ORDER BY {order} LIMIT %(limit)s
"""

_LAST = "SELECT id FROM ({candidates}) jobs ORDER BY {order} OFFSET %(looks)s - 1 LIMIT 1"

# As ``job_figures`` says whether a job has begun: a worker holds a shard of it, or some of its items are done. A job of
# few shards has no tallies; what was refused at the submission of a large one is in no tally either. These are values
# and no EXISTS, which the planner may answer by a hash of the whole table. The orders are those of the indexes.
_BEGUN = """
coalesce((SELECT shards.state FROM shards WHERE shards.job_id = jobs.id AND shards.state IN ('ready', 'leased')
          ORDER BY shards.state LIMIT 1) = 'leased', false)
OR CASE WHEN is_tallied
        THEN (SELECT true FROM tallies WHERE tallies.job_id = jobs.id ORDER BY slot LIMIT 1) IS NOT NULL
          OR (SELECT true FROM shards WHERE shards.job_id = jobs.id AND shards.state = 'done'
              AND NOT shards.is_tallied LIMIT 1) IS NOT NULL
        ELSE (SELECT true FROM shards WHERE shards.job_id = jobs.id AND shards.state = 'done'
              ORDER BY lo LIMIT 1) IS NOT NULL END
"""
