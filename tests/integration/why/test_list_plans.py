"""Query plans of lists: whatever they look for among many jobs, a page reads a limited number of rows, by index."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from lengthwise import database
from lengthwise.ledger import job_figures
from lengthwise.ledger.jobs import retention, search
from lengthwise.ledger.jobs.search import JobFilter
from lengthwise.states import JobState
from tests import servers as real
from tests.integration.queue.test_query_plans import explain, filled_with, mode, rows_read
from tests.ledger import DEFAULT

__all__ = ["mode"]

#: Of 100,000 jobs half are of each kind. None of the kind generate is cancelled, and none of translate is completed.
#: Half of them have tallies, which hold nothing of those that are open.
_FILL = """
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded, chunk_items,
                  is_tallied, created_at, key_id, name, tags)
SELECT lpad(to_hex(n), 32, '0')::uuid, '00000000-0000-0000-0000-000000000001',
       CASE WHEN n % 2 = 0 THEN 'generate' ELSE 'translate' END, CASE WHEN n = 7 THEN 'rare' ELSE 'echo' END, '{}', 1,
       CASE WHEN n % 2 = 0 THEN 'completed' WHEN n < 40000 THEN 'open' ELSE 'cancelled' END, 1, 1, 1, 10000,
       n % 4 < 2, '2031-01-01T00:00:00Z'::timestamptz + n * interval '1 second', '00000000-0000-0000-0000-000000000005',
       CASE WHEN n = 7 THEN 'rare' ELSE 'nightly ' || n END, CASE WHEN n = 7 THEN '{all,rare}' ELSE '{all}' END::text[]
FROM generate_series(1, 100000) n;
INSERT INTO job_tags (tenant_id, tag, created_at, job_id)
SELECT tenant_id, tag, created_at, id FROM jobs CROSS JOIN unnest(tags) tag;
INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state, is_tallied)
SELECT id, 'echo:1', 0, 0, 1, 1, 1, 0, 'ready', CASE WHEN is_tallied THEN false END FROM jobs WHERE state = 'open';
INSERT INTO tallies (job_id, slot, n_done, n_failed, n_input, n_output, n_padded, n_batches, n_deduplicated, used_input,
                     used_output, n_bytes, n_failed_bytes, n_warned, recent_at, recent)
SELECT id, slot, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, NULL, 0, array_fill(0, ARRAY[12])
FROM jobs, generate_series(1, 2) slot WHERE is_tallied AND state <> 'open';
ANALYZE;
"""


@pytest.fixture(scope="module", autouse=True)
def filled(servers: real.Urls) -> Iterator[None]:
    with filled_with(servers, _FILL):
        yield


START = datetime(2031, 1, 1, tzinfo=UTC)
CASES: list[tuple[dict[str, Any], int]] = [
    ({"kind": "generate"}, 21),
    ({"kind": "nothing"}, 0),
    ({"model": "echo"}, 21),
    ({"model": "rare"}, 1),
    ({"state": JobState.COMPLETED}, 21),
    ({"state": JobState.EXPIRED}, 0),
    ({"key_id": UUID(int=5)}, 21),
    ({"key_id": UUID(int=6)}, 0),
    ({"tag": "all"}, 21),
    ({"tag": "rare"}, 1),
    ({"tag": "nothing"}, 0),
    ({"name": "nightly"}, 21),
    ({"name": "rare"}, 1),
    ({"name": "nothing"}, 0),
    ({"created_before": START + timedelta(seconds=10)}, 9),
    ({"state": JobState.OPEN, "is_begun": False}, 21),
    ({"state": JobState.OPEN, "is_begun": True}, 0),
    ({"kind": "generate", "state": JobState.CANCELLED}, 0),
    ({"tag": "all", "kind": "generate", "state": JobState.CANCELLED, "name": "nightly"}, 0),
    ({"tag": "all", "model": "rare"}, 0),
    ({"tag": "rare", "model": "rare", "name": "rare", "kind": "translate"}, 1),
]


@pytest.mark.parametrize(("wanted", "n_found"), CASES, ids=str)
def test_a_page_reads_a_limited_number_of_rows(
    wanted: dict[str, Any], n_found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_LOOKS", 500)
    monkeypatch.setattr(search, "_LOOKS_AT_SHARDS", 100)
    monkeypatch.setattr(search, "_FEW_NAMES", 100)
    with database.engine().begin() as connection:
        asked = search._Search(connection, DEFAULT, JobFilter(**wanted), None)
        found, last = plans(asked)
        assert found[0]["Actual Rows"] == n_found
        is_alone = len(wanted) == 1 or n_found
        assert rows_read(found) <= (150 if is_alone else 1_100)
        assert not [node for node in found if node["Node Type"] == "Seq Scan"]
        assert rows_read(last) <= 1_100
        assert len(asked.ids(21)) == n_found


def test_a_page_that_finds_nothing_looks_at_some_thousand_jobs() -> None:
    wanted = JobFilter(kind="generate", state=JobState.CANCELLED)
    with database.engine().begin() as connection:
        found, last = plans(search._Search(connection, DEFAULT, wanted, None))
    assert found[0]["Actual Rows"] == 0
    assert max(rows_read(found), rows_read(last)) <= 4_200, "of 50,000 of that kind"


def plans(asked: search._Search) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The executed plans of a page of 21 jobs, and of the job that it looks at last."""
    where = " AND ".join(asked._checks) or "true"
    found = search._FOUND.format(candidates=asked._candidates, where=where, order=asked._order)
    last = search._LAST.format(candidates=asked._candidates, order=asked._order)
    values = {name: str(value) if isinstance(value, JobState) else value for name, value in asked._values.items()}
    return explain(found, **values, limit=21), explain(last, **values)


#: Seconds after the first job: of the job after which a page begins, and before which the list's jobs were created.
ENDS = [(50_000, None), (50_000, 90_000), (90_000, 50_000), (50_000, 50_000), (None, 50_000)]


@pytest.mark.parametrize(("after", "before"), ENDS)
@pytest.mark.parametrize("led_by", [{}, {"kind": "translate"}, {"state": JobState.CANCELLED}, {"model": "echo"},
                                    {"key_id": UUID(int=5)}, {"tag": "all"}, {"name": "nightly"}], ids=str)  # fmt: skip
def test_a_page_in_the_middle_reads_no_more(
    led_by: dict[str, Any], after: int | None, before: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_LOOKS", 500)
    monkeypatch.setattr(search, "_FEW_NAMES", 100)
    end = None if before is None else START + timedelta(seconds=before)
    wanted = JobFilter(**led_by, created_before=end, created_after=START + timedelta(seconds=40_000))
    with database.engine().begin() as connection:
        last = job_figures.read(connection, UUID(int=after)) if after else None
        asked = search._Search(connection, DEFAULT, wanted, last)
        found, looked_at = plans(asked)
        assert rows_read(found) <= 150
        assert rows_read(looked_at) <= 1_100
        numbers = [found_id.int for found_id in asked.ids(21)]
    step = 2 if led_by.keys() & {"kind", "state"} else 1
    newest = 49_999
    assert numbers == list(range(newest, newest - 21 * step, -step))


def test_the_names_that_begin_so_are_counted_up_to_a_limit() -> None:
    statement = search._NAMED.format(has_name="name >= %(name)s AND name < %(beyond)s")
    for name, beyond, n_read in (("nightly", "nightlz", 101), ("rare", "rarf", 1)):
        nodes = explain(statement, tenant=DEFAULT, name=name, beyond=beyond, few=101)
        assert rows_read(nodes) == n_read


def test_the_jobs_of_a_page_are_read_by_their_ids() -> None:
    statement = job_figures._FIGURES.format(where=job_figures._THESE)
    nodes = explain(statement, tenant=DEFAULT, jobs=[UUID(int=number) for number in range(1, 21)])
    assert rows_read(nodes) <= 100
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]


def test_the_tags_of_a_deleted_job_are_found_by_the_job() -> None:
    nodes = explain(retention._FORGET_TAGS, jobs=[UUID(int=7)])
    assert rows_read(nodes) <= 10


def test_every_job_is_found_on_some_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rare model among all jobs of a tag: most pages are empty, and none is the last before it is found."""
    monkeypatch.setattr(search, "_LOOKS", 5_000)
    found: list[UUID] = []
    with database.engine().begin() as connection:
        last, n_pages = None, 0
        while True:
            page = search.find(connection, DEFAULT, JobFilter(tag="all", model="rare"), last, 20)
            found += page.ids
            n_pages += 1
            if page.next_after is None:
                break
            last = job_figures.read(connection, page.next_after)
    assert (found, n_pages) == ([UUID(int=7)], 21)
