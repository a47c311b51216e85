"""Sums over the jobs that ended last: how many items failed, and how much padding sorting by length has saved."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger import tally


class EndedWork(NamedTuple):
    """Jobs that ended, and the sums over them. Tokens are input tokens, without and with padding."""

    n_jobs: int
    n_items: int
    n_failed: int
    n_tokens: int
    n_padded: int
    #: The tokens of all their items, and with the padding that batches in order of arrival would have had.
    n_arrived: int
    n_arrival_padded: int

    @property
    def failed_share(self) -> float:
        return self.n_failed / self.n_items if self.n_items else 0.0

    @property
    def padding_share(self) -> float:
        return _share(self.n_tokens, self.n_padded)

    @property
    def arrival_padding_share(self) -> float:
        return _share(self.n_arrived, self.n_arrival_padded)


def _share(useful: int, padded: int) -> float:
    return 1 - useful / padded if padded > useful else 0.0


def sum_ended(connection: Connection, tenant_id: UUID | None, *, limit: int = 100) -> EndedWork:
    """The sums over the jobs that ended last, at most ``limit``.

    With a tenant, they are those of its newest ``limit`` jobs that have ended.
    """
    cursor = database.cursor(connection)
    cursor.execute(_OF_ALL if tenant_id is None else _OF_TENANT, {"tenant": tenant_id, "limit": limit})
    return EndedWork(*cursor.fetchall()[0])


_SUMS = f"""
SELECT count(*), coalesce(sum(done.n_done), 0)::bigint, coalesce(sum(done.n_failed), 0)::bigint,
       coalesce(sum(done.n_input), 0)::bigint, coalesce(sum(done.n_padded), 0)::bigint,
       coalesce(sum(jobs.n_tokens), 0)::bigint, coalesce(sum(jobs.n_arrival_padded), 0)::bigint
FROM ({{ended}}) jobs CROSS JOIN LATERAL ({tally.SUMS.replace("{", "{{").replace("}", "}}")}) done
"""  # noqa: S608 - built from constants

_OF_ALL = _SUMS.format(
    ended="""
SELECT * FROM jobs WHERE finished_at IS NOT NULL AND deleted_at IS NULL ORDER BY finished_at DESC LIMIT %(limit)s
"""
)

_OF_TENANT = _SUMS.format(
    ended="""
SELECT * FROM (
  SELECT * FROM jobs WHERE tenant_id = %(tenant)s AND deleted_at IS NULL
  ORDER BY created_at DESC, id DESC LIMIT %(limit)s
) newest WHERE finished_at IS NOT NULL
"""
)
