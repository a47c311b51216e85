"""Cancelling and retrying on the page: it asks first, does it once, and says what became of each job."""

import logging
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from lengthwise.states import ResultStatus
from tests.integration.conftest import RunWorker, read_job, submit
from tests.integration.page.viewer import Shown, operator, with_scopes
from tests.ledger import must_take, put, sql


def hidden(html: str, name: str) -> list[str]:
    return [each["value"] or "" for each in Shown(html).all("input") if each.get("name") == name]


def test_a_job_is_cancelled_after_a_question(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    job = submit(client, ["abc"], name="CaNaRy")["id"]
    viewer = operator(client)
    asked = viewer.post("/page/jobs/confirm", data={"act": "cancel", "job": job})
    assert asked.status_code == 200
    assert read_job(client, job)["state"] == "queued"
    with caplog.at_level(logging.INFO):
        done = viewer.post("/page/jobs/act", data={"act": "cancel", "job": hidden(asked.text, "job")})
    assert (done.status_code, done.headers["location"]) == (303, f"/page/jobs/{job}")
    assert read_job(client, job)["state"] == "cancelled"
    [line] = [record.getMessage() for record in caplog.records if job in record.getMessage()]
    assert "cancel" in line and "CaNaRy" not in caplog.text


def test_several_jobs_are_cancelled_at_once_and_one_that_is_gone_stops_none(client: TestClient) -> None:
    jobs = [submit(client, ["abc"])["id"] for _ in range(3)]
    gone = submit(client, ["abc"])["id"]
    assert client.delete(f"/v1/jobs/{gone}").status_code == 204
    done = operator(client).post("/page/jobs/act", data={"act": "cancel", "job": [gone, *jobs]})
    assert done.status_code == 200
    assert [read_job(client, job)["state"] for job in jobs] == ["cancelled"] * 3
    text = Shown(done.text).text
    assert "there is no such job" in text
    assert "4 jobs, 1 of them not done" in text


def test_a_retry_that_cannot_help_says_why(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", "x" * 600])["id"]
    run_worker()
    viewer = operator(client)
    asked = viewer.post("/page/jobs/confirm", data={"act": "retry", "job": job})
    fields = {"act": "retry", "job": job, "once": hidden(asked.text, "once")[0]}
    refused = viewer.post("/page/jobs/act", data=fields)
    assert "cannot be taken again" in Shown(refused.text).text


def test_failed_items_run_again_as_one_new_job(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", "de"])["id"]
    [(pool,)] = sql("SELECT DISTINCT pool FROM shards")
    put(must_take(pool), status=ResultStatus.FAILED)
    viewer = operator(client)
    fields = {"act": "retry", "job": job, "once": str(uuid4())}
    first, second = (viewer.post("/page/jobs/act", data=fields) for _ in range(2))
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"] != f"/page/jobs/{job}"
    new = read_job(client, first.headers["location"].rpartition("/")[2])
    assert (new["retry_of"], new["counts"]["total"]) == (job, 2)


def test_an_open_job_is_not_retried(client: TestClient) -> None:
    job = submit(client, ["abc"])["id"]
    answered = operator(client).post("/page/jobs/act", data={"act": "retry", "job": job})
    assert answered.status_code == 200
    assert "the job has not ended" in Shown(answered.text).text


@pytest.mark.parametrize("fields", [{}, {"act": "delete"}, {"act": "cancel"}, {"act": "cancel", "job": [""]}])
@pytest.mark.parametrize("path", ["/page/jobs/confirm", "/page/jobs/act"])
def test_an_act_on_nothing_is_refused(client: TestClient, path: str, fields: dict[str, str]) -> None:
    assert operator(client).post(path, data=fields or {"x": "y"}).status_code in (404, 422)


def test_too_many_jobs_are_refused(client: TestClient) -> None:
    many = [str(uuid4()) for _ in range(101)]
    assert operator(client).post("/page/jobs/confirm", data={"act": "cancel", "job": many}).status_code == 422


@pytest.mark.parametrize("path", ["/page/jobs/confirm", "/page/jobs/act"])
def test_a_reader_may_not_act(client: TestClient, path: str) -> None:
    job = submit(client, ["abc"])["id"]
    refused = with_scopes(client, "read").post(path, data={"act": "cancel", "job": job})
    assert refused.status_code == 403
    assert read_job(client, job)["state"] == "queued"


def test_the_list_pages_and_filters(client: TestClient, run_worker: RunWorker) -> None:
    jobs = [submit(client, ["abc"], name=f"night {n}", tags=["nightly"])["id"] for n in range(55)]
    viewer = operator(client)
    first = Shown(viewer.get("/page/jobs").text)
    shown = [each["value"] for each in first.all("input") if each.get("name") == "job"]
    assert shown == list(reversed(jobs))[:50]
    [older] = [each["href"] for each in first.all("a") if each.get("rel") == "next"]
    assert older
    rest = Shown(viewer.get(older).text)
    assert [each["value"] for each in rest.all("input") if each.get("name") == "job"] == list(reversed(jobs))[50:]
    for query, n in (("name=night 5", 6), ("tag=nightly&name=night 54", 1), ("state=completed", 0), ("kind=", 50)):
        found = Shown(viewer.get(f"/page/jobs?{query}").text)
        assert len([each for each in found.all("input") if each.get("name") == "job"]) == n, query


def test_a_wrong_filter_says_so_and_keeps_what_was_typed(client: TestClient) -> None:
    for field, value in (("since", "yesterday"), ("state", "sleeping"), ("key_id", "shop"), ("tag", "a b")):
        answered = operator(client).get("/page/jobs", params={field: value, "name": "kept"})
        assert answered.status_code == 422, field
        shown = Shown(answered.text)
        assert value in {each.get("value") for each in shown.all("input")} | set(shown.text.split()), field
        assert "kept" in {each.get("value") for each in shown.all("input")}
