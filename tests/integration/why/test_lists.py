"""Lists of jobs by what they are: every filter, any of them together, page by page."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.ledger.jobs import retention, search
from tests.integration.conftest import RunWorker, read_job, submit
from tests.ledger import DEFAULT, must_take, new_tenant, sql
from tests.ledger import submit as submitted


def listed(client: TestClient, limit: int = 100, **filters: Any) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = client.get("/v1/jobs", params={**filters, **after, "limit": limit})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [job["id"] for job in page["data"]]
        assert len(page["data"]) <= limit
        assert page["has_more"] is (page["next_after"] is not None)
        if not page["has_more"]:
            return found
        after = {"after": page["next_after"]}


def test_a_job_shows_its_name_its_tags_and_its_file(client: TestClient) -> None:
    given: dict[str, Any] = {"name": "Nightly 商品", "tags": ["a", "team/x:1.0", "a"], "source_file": "products.csv"}
    job = submit(client, ["abc"], **given)
    assert {name: job[name] for name in given} == {**given, "tags": ["a", "team/x:1.0"]}
    assert read_job(client, job["id"])["name"] == "Nightly 商品"
    assert submit(client, ["abc"])["tags"] == []


@pytest.mark.parametrize("form", ["first line", "header"])
def test_the_name_goes_where_the_rest_of_the_job_goes(client: TestClient, form: str) -> None:
    header = '{"kind": "generate", "name": "n", "tags": ["t"], "source_file": "f.csv"}'
    if form == "header":
        more = {"content-type": "text/csv", "lengthwise-job": header}
        answer = client.post("/v1/jobs", content=b"text\nabc\n", headers=more)
    else:
        more = {"content-type": "application/x-ndjson"}
        answer = client.post("/v1/jobs", content=f'{header}\n{{"text": "abc"}}\n'.encode(), headers=more)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["name"], job["tags"], job["source_file"]) == ("n", ["t"], "f.csv")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", ""),
        ("name", "x" * 201),
        ("name", "a\x00b"),
        ("tags", ["two words"]),
        ("tags", ["x" * 65]),
        ("tags", [""]),
        ("tags", ["line\n"]),
        ("tags", [f"{number}" for number in range(17)]),
        ("tags", "nightly"),
        ("source_file", "x" * 256),
    ],
)
def test_what_cannot_be_a_name_or_a_tag_is_refused(client: TestClient, field: str, wrong: Any) -> None:
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": ["abc"], field: wrong})
    assert answer.status_code == 422
    assert answer.json()["field"].startswith(field)


def test_a_retry_keeps_them(client: TestClient, run_worker: RunWorker) -> None:
    given: dict[str, Any] = {"name": "n", "tags": ["t"], "source_file": "f.csv"}
    job = submit(client, ["abc"], **given)
    sql("UPDATE jobs SET state = 'completed', finished_at = now()")
    sql("UPDATE shards SET state = 'done', n_failed = 1")
    sql("INSERT INTO results SELECT job_id, index, 'failed', '{}' FROM items")
    again = client.post(f"/v1/jobs/{job['id']}/retry").json()
    assert {name: again[name] for name in given} == given
    assert listed(client, tag="t") == [again["id"], job["id"]]


def test_each_filter_finds_its_jobs(client: TestClient, run_worker: RunWorker) -> None:
    first = submit(client, ["abc"], name="nightly 1", tags=["a"])
    run_worker()
    second = submit(client, ["abc"], "translate", name="nightly 2", tags=["a", "b"], source="zh", target="en")
    third = submit(client, ["abc"] * 2)
    client.post(f"/v1/jobs/{third['id']}/cancel")
    ids = [job["id"] for job in (third, second, first)]
    for filters, expected in (
        ({}, ids),
        ({"state": "completed"}, [first["id"]]),
        ({"state": "queued"}, [second["id"]]),
        ({"state": "running"}, []),
        ({"state": "cancelled"}, [third["id"]]),
        ({"state": "expired"}, []),
        ({"kind": "translate"}, [second["id"]]),
        ({"kind": "nothing"}, []),
        ({"model": "echo"}, ids),
        ({"model": "other"}, []),
        ({"tag": "a"}, [second["id"], first["id"]]),
        ({"tag": "b"}, [second["id"]]),
        ({"tag": "c"}, []),
        ({"name": "nightly"}, [second["id"], first["id"]]),
        ({"name": "nightly 2"}, [second["id"]]),
        ({"name": "Nightly"}, []),
        ({"key_id": first["key_id"]}, ids),
        ({"key_id": str(uuid4())}, []),
        ({"created_after": second["created_at"]}, [third["id"], second["id"]]),
        ({"created_before": second["created_at"]}, [first["id"]]),
        ({"tag": "a", "kind": "generate", "state": "completed", "name": "nightly"}, [first["id"]]),
        ({"tag": "a", "kind": "translate", "state": "completed"}, []),
    ):
        assert listed(client, **filters) == expected, filters
        assert listed(client, limit=1, **filters) == expected, filters


def test_an_open_job_is_running_once_an_item_has_begun(client: TestClient) -> None:
    few, many = (str(submitted(["x" * 10] * n, shard_items=1)) for n in (2, 100))
    assert listed(client, state="queued") == [many, few]
    claimed = must_take(items=1)
    begun = str(next(iter(claimed.shards.values())).job_id)
    assert listed(client, state="running") == [begun]
    for job in (few, many):
        assert (read_job(client, job)["state"] == "running") is (job == begun)
    assert set(listed(client, state="queued")) == {few, many} - {begun}


@pytest.mark.parametrize("wrong", [{"state": "open"}, {"tag": "two words"}, {"key_id": "x"}, {"created_after": "1"}])
def test_a_filter_that_says_nothing_is_refused(client: TestClient, wrong: dict[str, str]) -> None:
    assert client.get("/v1/jobs", params=wrong).status_code == 422


def test_an_idempotency_key_goes_with_no_filter(client: TestClient) -> None:
    assert client.get("/v1/jobs", params={"idempotency_key": "k", "kind": "generate"}).status_code == 422


def test_a_page_that_finds_nothing_says_where_the_next_begins(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest of twelve jobs is looked for, three jobs a page."""
    monkeypatch.setattr(search, "_LOOKS", 3)
    jobs = [submit(client, ["abc"], tags=["a"], name="last" if number == 0 else "x") for number in range(12)]
    monkeypatch.setattr(search, "_FEW_NAMES", 0)  # else the name leads
    first = client.get("/v1/jobs", params={"tag": "a", "name": "last"}).json()
    assert (first["data"], first["has_more"], first["next_after"]) == ([], True, jobs[9]["id"])
    assert listed(client, tag="a", name="last") == [jobs[0]["id"]]


def test_a_tenant_finds_its_own_jobs_only(client: TestClient) -> None:
    other = submitted(["abc"], tenant=new_tenant())
    sql("UPDATE jobs SET name = 'n', tags = '{a}'")
    sql("INSERT INTO job_tags SELECT tenant_id, 'a', created_at, id FROM jobs WHERE id = :job", job=other)
    several: list[dict[str, Any]] = [{"tag": "a"}, {"name": "n"}, {"kind": "generate"}, {"state": "queued"}]
    for filters in several:
        assert listed(client, **filters) == []


def test_a_deleted_job_is_found_no_more_and_leaves_no_tag(client: TestClient, installed: object) -> None:
    job = submit(client, ["abc"], tags=["a", "b"], name="n")
    kept = submit(client, ["abc"], tags=["a"])
    client.delete(f"/v1/jobs/{job['id']}")
    assert listed(client, tag="a") == [kept["id"]]
    assert listed(client, name="n") == []
    sql("UPDATE jobs SET usage_due = false")
    with database.engine().begin() as connection:
        while retention.purge(connection, items=100):
            pass
    assert sql("SELECT tag, job_id::text FROM job_tags") == [("a", kept["id"])]


NAMES = st.text("aé\U0010ffff\ud7ff\ue000~", max_size=3)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES.filter(bool), max_size=6), prefix=NAMES.filter(bool), few=st.sampled_from([0, 1000]))
def test_a_prefix_finds_exactly_the_names_that_begin_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, names: list[str], prefix: str, few: int
) -> None:
    sql("TRUNCATE jobs CASCADE")
    start = datetime(2031, 1, 1, tzinfo=UTC)
    for number, name in enumerate(names):
        job = submitted(["x"])
        at = start + timedelta(seconds=number)
        sql("UPDATE jobs SET name = :name, created_at = :at WHERE id = :job", name=name, at=at, job=job)
    with monkeypatch.context() as patch:
        patch.setattr(search, "_FEW_NAMES", few)
        answer = client.get("/v1/jobs", params={"name": prefix}).json()
    assert [job["name"] for job in answer["data"]] == [name for name in names[::-1] if name.startswith(prefix)]


def test_the_default_tenant_is_the_callers(client: TestClient) -> None:
    submit(client, ["abc"], tags=["a"])
    assert sql("SELECT tenant_id FROM job_tags") == [(DEFAULT,)]
