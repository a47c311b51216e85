"""Jobs after their submission: listed, shown, cancelled and deleted, by their own tenant only."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from api.access import auth
from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger import job_figures
from lengthwise.ledger.jobs import cancel
from tests.integration.conftest import RunWorker, read_job, submit
from tests.workers import sweep

OF_A_JOB = ("jobs", "items", "shards", "results", "deliveries")


def rows(table: str) -> int:
    with database.engine().begin() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608 - ours


def ended(client: TestClient, run_worker: RunWorker, how: str) -> dict[str, Any]:
    """A job that ended in this way."""
    deadline = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    job = submit(client, ["abc", "de"], deadline=deadline, webhook={"url": "http://8.8.8.8/"})
    if how == "completed":
        run_worker()
    elif how == "cancelled":
        client.post(job["links"]["cancel"])
    else:
        with database.engine().begin() as connection:
            connection.exec_driver_sql("UPDATE jobs SET deadline_at = now() - interval '1 second'")
        sweep()
    return read_job(client, job["id"])


@pytest.mark.parametrize("how", ["completed", "cancelled", "expired"])
def test_an_ended_job_never_changes(client: TestClient, run_worker: RunWorker, how: str) -> None:
    job = ended(client, run_worker, how)
    dropped = {} if how == "completed" else {how: 2}
    nothing = dict.fromkeys(("pending", "succeeded", "failed", "cancelled", "expired"), 0)
    assert job["state"] == how
    assert job["counts"] == {"total": 2, **nothing, **(dropped or {"succeeded": 2})}
    assert job["finished_at"] is not None

    with database.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET deadline_at = now() - interval '1 second'")
    shown = read_job(client, job["id"])
    sweep()
    run_worker()
    assert client.post(job["links"]["cancel"]).json() == shown
    assert read_job(client, job["id"]) == shown
    assert rows("deliveries") == 1, "an end is announced once"


@pytest.mark.parametrize("how", ["queued", "completed", "cancelled"])
def test_a_deleted_job_leaves_nothing(client: TestClient, run_worker: RunWorker, how: str) -> None:
    job = submit(client, ["abc", "x" * 600]) if how == "queued" else ended(client, run_worker, how)
    answer = client.delete(job["links"]["self"])
    assert (answer.status_code, answer.content) == (204, b"")
    for path in job["links"].values():
        asked = client.post(path) if path.endswith(("cancel", "retry")) else client.get(path)
        assert asked.status_code == 404
    assert client.delete(job["links"]["self"]).status_code == 404
    assert client.get("/v1/jobs").json()["data"] == []
    run_worker()
    sweep()
    assert {table: rows(table) for table in OF_A_JOB} == dict.fromkeys(OF_A_JOB, 0)


def test_deleting_a_job_leaves_other_jobs_alone(client: TestClient, run_worker: RunWorker) -> None:
    first, second = submit(client, ["abc"]), submit(client, ["abc"])
    client.delete(first["links"]["self"])
    run_worker()
    assert read_job(client, second["id"])["counts"]["succeeded"] == 1


def test_the_list_is_paged_newest_first(client: TestClient) -> None:
    made = [submit(client, ["abc"] * count)["id"] for count in range(1, 8)]
    seen: list[str] = []
    pages = 0
    while True:
        page = client.get("/v1/jobs", params={"limit": 2, **({"after": seen[-1]} if seen else {})}).json()
        seen += [job["id"] for job in page["data"]]
        pages += 1
        if not page["has_more"]:
            break
    assert pages == 4
    assert seen == made[::-1]
    whole = client.get("/v1/jobs").json()
    assert [job["id"] for job in whole["data"]] == seen
    assert whole["has_more"] is False
    assert whole["data"][0] == read_job(client, seen[0]) | {"items_per_second": 0.0, "progress": None}


def test_a_page_after_a_deleted_job_is_a_404(client: TestClient) -> None:
    first, second = submit(client, ["abc"]), submit(client, ["abc"])
    client.delete(second["links"]["self"])
    assert client.get("/v1/jobs", params={"after": second["id"]}).status_code == 404
    assert client.get("/v1/jobs", params={"after": first["id"]}).json()["data"] == []


def test_another_tenants_job_is_a_404(client: TestClient) -> None:
    job = submit(client, ["abc"])
    stranger = uuid4()
    with database.engine().begin() as connection:
        assert job_figures.read(connection, UUID(job["id"]), auth.DEFAULT).n_items == 1
        assert job_figures.page(connection, stranger, None, 10) == []
        assert job_figures.page(connection, stranger, UUID(job["id"]), 10) == []
        for act in (job_figures.read, cancel.cancel, cancel.delete):
            with pytest.raises(NotFound):
                act(connection, UUID(job["id"]), stranger)
    client.app.dependency_overrides[auth.current] = lambda: stranger  # type: ignore[attr-defined]
    for path in job["links"].values():
        asked = client.post(path) if path.endswith(("cancel", "retry")) else client.get(path)
        assert asked.status_code == 404
    assert client.delete(job["links"]["self"]).status_code == 404
    assert client.get("/v1/jobs", params={"after": job["id"]}).status_code == 404
    assert client.get("/v1/jobs").json()["data"] == []
    client.app.dependency_overrides.clear()  # type: ignore[attr-defined]
    assert read_job(client, job["id"])["state"] == "queued"


def test_figures_follow_the_work(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", "a" * 100, "x" * 600])
    assert (job["state"], job["usage"], job["estimated_end_at"]) == (
        "running",  # one item has its error already
        {"input_tokens": 0, "output_tokens": 0},
        None,
    )
    run_worker()
    done = read_job(client, job["id"])
    assert done["state"] == "completed"
    assert done["usage"] == {"input_tokens": 103, "output_tokens": 103}
    assert done["counts"] | {"succeeded": 2, "failed": 1, "pending": 0} == done["counts"]
    assert sum(done["counts"].values()) == 2 * done["counts"]["total"]
    assert done["items_per_second"] > 0
    assert done["engine"]["batches"] == 2
    assert done["engine"]["padding_share"] == 0
    assert done["engine"]["padding_share_arrival_order"] == pytest.approx(97 / 200)


def test_a_delivery_is_listed_without_its_secret(client: TestClient, run_worker: RunWorker) -> None:
    job = ended(client, run_worker, "completed")
    listed = client.get(job["links"]["deliveries"]).json()
    assert listed["object"] == "list"
    assert [(each["url"], each["state"], each["attempts"]) for each in listed["data"]] == [
        ("http://8.8.8.8/", "pending", [])
    ]
    assert "whsec" not in str(listed)


@pytest.mark.parametrize(("wish", "shared"), [({}, 2), ({"deduplicate": True}, 2), ({"deduplicate": False}, 0)])
def test_items_answered_by_another_items_computation_are_counted(
    client: TestClient, run_worker: RunWorker, wish: dict[str, Any], shared: int
) -> None:
    job = submit(client, ["abc", "abc", "d", "abc"], **wish)
    assert (job["deduplicate"], job["engine"]["deduplicated"]) == (wish.get("deduplicate", True), 0)
    run_worker()
    done = read_job(client, job["id"])
    assert (done["counts"]["succeeded"], done["engine"]["deduplicated"]) == (4, shared)


def test_a_deduplicate_that_is_not_a_boolean_is_refused(client: TestClient) -> None:
    refused = client.post("/v1/jobs", json={"kind": "generate", "items": ["abc"], "deduplicate": "no"})
    assert (refused.status_code, refused.json()["field"]) == (422, "deduplicate")
