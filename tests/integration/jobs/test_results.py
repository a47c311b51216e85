"""Results come in the caller's order, each once, whatever state the job is in."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.testclient import TestClient

from lengthwise import database, settings
from lengthwise.ledger.jobs import results
from tests.caller import bearer
from tests.integration.conftest import RunWorker, read_job, submit
from tests.integration.wire import over_http
from tests.ledger import sql, tables
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("each_store")

N_ITEMS = 300
#: Unsorted lengths, so that sorting changes the order and chunks are cut into shards.
TEXTS = [f"{index:03}" + "x" * (index * 37 % 101) for index in range(N_ITEMS)]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of 300 items spans five chunks, and each chunk several shards."""
    monkeypatch.setenv("LENGTHWISE_CHUNK_ITEMS", "64")
    monkeypatch.setenv("LENGTHWISE_SHARD_ITEMS", "8")
    settings.get.cache_clear()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.jobs.download._PAGE", 7)


def download(client: TestClient, job_id: str, after: int = -1) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/jobs/{job_id}/results", params={"after": after})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["lengthwise-job-state"] == read_job(client, job_id)["state"]
    return [json.loads(line) for line in answer.text.splitlines()]


def work_a_little(client: TestClient, job_id: str) -> None:
    """Runs one claim."""
    with database.engine().begin() as connection:
        found = connection.exec_driver_sql("SELECT pool FROM shards WHERE job_id = %s LIMIT 1", (job_id,))
        pool = found.scalar_one()
    generator = Worker().generator
    with generator.claims(generator.rotation(pool)) as claims:
        prepared = claims.next()
        assert prepared is not None
        generator.run(prepared, claims)


@pytest.mark.usefixtures("small_chunks", "small_pages")
class TestOverManyChunks:
    def test_results_come_in_the_callers_order(self, client: TestClient, run_worker: RunWorker) -> None:
        job = submit(client, [{"id": text, "text": text} for text in TEXTS])
        run_worker()
        lines = download(client, job["id"])
        assert [line["index"] for line in lines] == list(range(N_ITEMS))
        assert [line["id"] for line in lines] == TEXTS
        assert [line["output"]["text"] for line in lines] == [text[::-1] for text in TEXTS]
        assert all(line["usage"]["input_tokens"] == len(text) for line, text in zip(lines, TEXTS, strict=True))

    @pytest.mark.parametrize("step", [1, 50, 64, 299])
    def test_a_broken_download_continues_where_it_ended(
        self, client: TestClient, run_worker: RunWorker, step: int
    ) -> None:
        job = submit(client, TEXTS[: 3 if step == 1 else N_ITEMS])
        run_worker()
        seen: list[int] = []
        while lines := download(client, job["id"], seen[-1] if seen else -1):
            seen += [line["index"] for line in lines[:step]]  # the rest was cut off
        assert seen == list(range(job["counts"]["total"]))

    def test_a_running_job_gives_the_results_so_far(self, client: TestClient, run_worker: RunWorker) -> None:
        job = submit(client, TEXTS)
        assert download(client, job["id"]) == []
        work_a_little(client, job["id"])
        counts = read_job(client, job["id"])["counts"]
        early = download(client, job["id"])
        assert 0 < len(early) == counts["succeeded"] == N_ITEMS - counts["pending"] < N_ITEMS
        assert [line["index"] for line in early] == sorted({line["index"] for line in early})
        run_worker()
        whole = {line["index"]: line for line in download(client, job["id"])}
        assert len(whole) == N_ITEMS
        assert all(whole[line["index"]] == line for line in early)

    @pytest.mark.parametrize("has_begun", [False, True])
    def test_a_cancelled_job_gives_every_item_once(self, client: TestClient, has_begun: bool) -> None:
        job = submit(client, [{"id": text, "text": text, "metadata": {"of": text}} for text in TEXTS])
        if has_begun:
            work_a_little(client, job["id"])
        counts = client.post(job["links"]["cancel"]).json()["counts"]
        lines = download(client, job["id"])
        assert [line["index"] for line in lines] == list(range(N_ITEMS))
        assert [(line["id"], line["metadata"]["of"]) for line in lines] == [(text, text) for text in TEXTS]
        cancelled = [line for line in lines if line["status"] == "cancelled"]
        assert {line["error"]["code"] for line in cancelled} == {"cancelled"}
        assert len(cancelled) == counts["cancelled"] == N_ITEMS - counts["succeeded"]
        assert (counts["succeeded"] > 0) is has_begun
        assert [line["index"] for line in download(client, job["id"], 150)] == list(range(151, N_ITEMS))

    def test_items_that_are_too_long_have_their_own_errors(self, client: TestClient, run_worker: RunWorker) -> None:
        texts = ["x" * 600 if index % 10 == 3 else text for index, text in enumerate(TEXTS)]
        job = submit(client, [{"id": str(index), "text": text} for index, text in enumerate(texts)])
        assert job["counts"] | {"pending": 270, "failed": 30} == job["counts"]
        assert [line["index"] for line in download(client, job["id"])] == list(range(3, N_ITEMS, 10))
        run_worker()
        lines = download(client, job["id"])
        assert [line["id"] for line in lines] == [str(index) for index in range(N_ITEMS)]
        for line, text in zip(lines, texts, strict=True):
            if len(text) == 600:
                assert (line["status"], line["error"]["code"]) == ("failed", "too_long")
            else:
                assert line["output"]["text"] == text[::-1]
        assert read_job(client, job["id"])["state"] == "completed"


def test_a_page_after_the_last_item_is_empty(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc"])
    run_worker()
    assert download(client, job["id"], 0) == download(client, job["id"], 2**31 - 1) == []


def test_a_client_notices_a_download_that_breaks(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("api.jobs.download._PAGE", 1)
    job = submit(client, ["abc", "Canary"])
    client.post(f"/v1/jobs/{job['id']}/cancel")
    items, _ = tables(job["id"])
    with database.engine().begin() as connection:
        connection.exec_driver_sql(f"UPDATE {items} SET payload = 'Canary' WHERE index = 1")  # noqa: S608 - our own names
    with over_http(client.app) as url, pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        httpx.get(f"{url}/v1/jobs/{job['id']}/results", headers=bearer())
    assert "unexpected ValidationError while answering" in caplog.text
    assert "Canary" not in caplog.text


def test_a_stop_string_ends_an_answer(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abcdef", "xyz"], stop=["d"], max_new_tokens=5)
    run_worker()
    lines = download(client, job["id"])
    assert [line["output"]["text"] for line in lines] == ["fe", "zyx"]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("is_cancelled", [True, False])
@pytest.mark.parametrize("most_bytes", [1, 500, 5_000, 20_000])
def test_long_results_come_in_short_pages_and_each_once(
    client: TestClient, run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch, most_bytes: int, is_cancelled: bool
) -> None:
    monkeypatch.setattr(results, "_PAGE_BYTES", most_bytes)
    job = submit(client, TEXTS)
    if is_cancelled:
        work_a_little(client, job["id"])
        client.post(job["links"]["cancel"])
    else:
        run_worker()
    found = download(client, job["id"])
    assert [each["index"] for each in found] == list(range(N_ITEMS))
    assert {each["status"] for each in found} == ({"succeeded", "cancelled"} if is_cancelled else {"succeeded"})
    n_read = 0
    after: int | None = -1
    while after is not None:
        with database.engine().connect() as connection:
            page = results.read_page(
                connection,
                UUID(job["id"]),
                store=store_of(job),
                after=after,
                limit=1000,
                chunk_items=64,
                n_items=N_ITEMS,
                has_dropped=is_cancelled,
            )
        sizes = [len(row.line or row.payload or b"") for row in page.rows]
        assert sum(sizes[:-1]) < most_bytes
        n_read, after = n_read + len(sizes), page.next_after
    assert n_read == N_ITEMS


def store_of(job: dict[str, Any]) -> int:
    found: int = sql("SELECT store FROM jobs WHERE id = :id", id=job["id"])[0][0]
    return found
