"""The client against the real API: what it accepts, returns and raises."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from starlette.testclient import TestClient

from lengthwise import AsyncClient, Client, errors
from lengthwise.client import _error
from lengthwise.client._resource import Result
from tests.integration.conftest import RunWorker
from tests.integration.jobs.test_results import N_ITEMS, TEXTS, small_chunks, work_a_little
from tests.integration.wire import over_http
from tests.ledger import sql

__all__ = ["small_chunks"]


@pytest.fixture
def url(client: TestClient) -> Iterator[str]:
    with over_http(client.app) as found:
        yield found


@pytest.fixture
def lengthwise(url: str, api_key: str) -> Iterator[Client]:
    with Client(url, api_key, retry_seconds=10) as made:
        yield made


def n_jobs() -> int:
    found: int = sql("SELECT count(*) FROM jobs")[0][0]
    return found


def test_three_lines_of_code_translate(
    url: str, run_worker: RunWorker, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENGTHWISE_URL", url)
    monkeypatch.setenv("LENGTHWISE_API_KEY", api_key)
    with Client() as client:
        job = client.submit(["我吃了", "一个苹果"], kind="translate", source="zh", target="en")
        run_worker()
        assert [result.text for result in job.wait().results()] == ["了吃我", "果苹个一"]


@pytest.mark.usefixtures("small_chunks")
class TestJobResults:
    def test_results_of_an_ended_job_come_in_order_with_ids_and_metadata(
        self, lengthwise: Client, run_worker: RunWorker
    ) -> None:
        items = ({"id": text, "text": text, "metadata": {"at": at}} for at, text in enumerate(TEXTS))
        job = lengthwise.submit(items, kind="generate")
        run_worker()
        found = list(job.wait().results())
        assert [(result.index, result.id, result.metadata) for result in found] == [
            (at, text, {"at": at}) for at, text in enumerate(TEXTS)
        ]
        assert [result.text for result in found] == [text[::-1] for text in TEXTS]
        assert [result.index for result in job.results(after=200)] == list(range(201, N_ITEMS))

    def test_each_result_of_a_running_job_comes_once(
        self, lengthwise: Client, client: TestClient, run_worker: RunWorker
    ) -> None:
        job = lengthwise.submit(TEXTS, kind="generate")
        work_a_little(client, job.id)
        early = lengthwise.job(job.id).counts.succeeded
        assert 0 < early < N_ITEMS
        following = job.results()
        found = [next(following) for _ in range(early)]
        assert [result.index for result in job.results(follow=False)] == [result.index for result in found]
        run_worker()
        found += following
        assert sorted(result.index for result in found) == list(range(N_ITEMS))
        assert {result.index: result.text for result in found} == {at: text[::-1] for at, text in enumerate(TEXTS)}

    def test_an_iteration_that_ends_early_closes_its_response(self, lengthwise: Client, run_worker: RunWorker) -> None:
        job = lengthwise.submit(TEXTS, kind="generate")
        run_worker()
        iterating = job.results()
        assert next(iterating).index == 0
        iterating.close()  # type: ignore[attr-defined]
        assert len(list(job.results())) == N_ITEMS


def test_an_iterable_that_raises_sends_nothing(lengthwise: Client) -> None:
    def items() -> Iterator[str]:
        yield "abc"
        raise KeyError("their own")

    with pytest.raises(KeyError, match="their own"):
        lengthwise.submit(items(), kind="generate")
    with pytest.raises(TypeError, match=r"items\[1\] is neither"):
        lengthwise.submit(["abc", 7], kind="generate")  # type: ignore[list-item]
    with pytest.raises(errors.InvalidInput) as refused:
        lengthwise.submit(["abc", "\ud800"], kind="generate")
    assert (refused.value.field, refused.value.index) == ("items[1]", 1)
    assert n_jobs() == 0


def test_an_error_has_the_fields_of_the_problem_details(lengthwise: Client) -> None:
    with pytest.raises(errors.InvalidInput) as refused:
        lengthwise.submit(["abc", {"text": 7}], kind="generate")
    assert isinstance(refused.value, _error.InvalidInputError)
    assert (refused.value.status, refused.value.field, refused.value.index) == (422, "items[1].text", 1)
    assert str(refused.value) == f"422 invalid input: items[1].text: {refused.value.detail}"
    with pytest.raises(errors.TooLarge):
        lengthwise.submit(["x" * 100_001], kind="generate")


def test_a_missing_job_and_a_wrong_state_have_their_own_errors(lengthwise: Client) -> None:
    job = lengthwise.submit(["abc"], kind="generate")
    with pytest.raises(errors.Conflict):
        job.retry()
    with pytest.raises(_error.WaitTimeoutError, match="goes on"):
        job.wait(timeout=0.05)
    assert job.cancel().state == "cancelled"
    assert [(result.status, result.error and result.error.code) for result in job.results()] == [
        ("cancelled", "cancelled")
    ]
    job.delete()
    for call in (job.delete, job.refresh, job.cancel, lambda: list(job.results())):
        with pytest.raises(errors.NotFound):
            call()


def test_failed_items_are_retried_as_a_new_job(lengthwise: Client, run_worker: RunWorker) -> None:
    job = lengthwise.submit(["x" * 600, "abc"], kind="generate")
    run_worker()
    assert job.wait().counts.failed == 1
    with pytest.raises(errors.Conflict, match="cannot be taken again"):
        job.retry()  # it is still too long
    assert lengthwise.models()[0].id == "echo"


def test_jobs_are_listed_over_several_pages(lengthwise: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lengthwise.client._call._PAGE_JOBS", 3)
    made = [lengthwise.submit([str(at)], kind="generate").id for at in range(9)]
    assert [job.id for job in lengthwise.jobs()] == made[::-1]
    assert [job.id for job in lengthwise.jobs(limit=2)] == made[:-3:-1]


def test_two_calls_with_one_idempotency_key_make_one_job(lengthwise: Client) -> None:
    first, again = (lengthwise.submit(["abc"], kind="generate", idempotency_key="mine") for _ in range(2))
    assert first.id == again.id
    assert lengthwise.submit(["abc"], kind="generate").id != first.id


def test_the_async_client_does_the_same(url: str, api_key: str, run_worker: RunWorker) -> None:
    async def texts() -> AsyncIterator[str]:
        for text in TEXTS:
            yield text

    async def run() -> list[Result]:
        async with AsyncClient(url, api_key) as asynchronous:
            jobs = await asyncio.gather(
                asynchronous.submit(texts(), kind="generate"), asynchronous.submit(TEXTS, kind="generate")
            )
            await asyncio.to_thread(run_worker)
            first, second = await asyncio.gather(*(job.wait() for job in jobs))
            async with aclosing(second.results()) as following:
                assert (await anext(following)).index == 0
            assert {job.id async for job in asynchronous.jobs()} == {first.id, second.id}
            assert (await asynchronous.models())[0].kinds == ["translate", "generate"]
            await second.delete()
            with pytest.raises(errors.NotFound):
                await second.refresh()
            return [result async for result in first.results()]

    found = asyncio.run(run())
    assert [(result.index, result.text) for result in found] == [(at, text[::-1]) for at, text in enumerate(TEXTS)]


@pytest.mark.parametrize("given", [{"base_url": "ftp://x"}, {"base_url": "no url"}, {"api_key": "a\nb"}])
def test_the_error_for_an_invalid_url_does_not_repeat_it(given: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError) as refused:
        Client(**given)
    assert not any(value in str(refused.value) for value in given.values())
