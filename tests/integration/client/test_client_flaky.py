"""The client over connections that are cut at seeded points: nothing is lost or repeated."""

import asyncio
import random
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from lengthwise import AsyncClient, Client, errors
from lengthwise.client import _retry_budget
from lengthwise.client._error import UnreachableError
from tests.integration.client.test_client import n_jobs, url
from tests.integration.conftest import RunWorker
from tests.integration.wire import Cut, cutting

__all__ = ["url"]

N_ITEMS = 400
#: Random letters, which do not compress, so that there are enough bytes to cut.
TEXTS = [random.Random(at).randbytes(50).hex() for at in range(N_ITEMS)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_retry_budget, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr("api.jobs.download._PAGE", 50)


def cuts(seed: int) -> Iterator[Cut]:
    """Some cuts are early, within the headers of a request or an answer, and some are late."""
    chosen = random.Random(seed)
    for _ in range(6):
        yield Cut(chosen.choice([1, 100, 600, 5_000, chosen.randrange(30_000)]), is_answer=chosen.random() < 0.6)


def test_a_flaky_connection_loses_and_repeats_nothing(url: str, api_key: str, run_worker: RunWorker) -> None:
    for seed in range(10):
        with cutting(url, list(cuts(seed))) as flaky, Client(flaky, api_key) as client:
            job = client.submit(TEXTS, kind="generate")
            run_worker()
            found = [(result.index, result.text) for result in job.wait().results()]
        assert found == [(at, text[::-1]) for at, text in enumerate(TEXTS)], seed
        assert n_jobs() == seed + 1


@pytest.mark.parametrize("seed", [10, 11])
def test_a_flaky_connection_loses_and_repeats_nothing_for_the_async_client(
    url: str, api_key: str, run_worker: RunWorker, seed: int
) -> None:
    async def run(flaky: str) -> list[tuple[int, str | None]]:
        async with AsyncClient(flaky, api_key) as client:
            job = await client.submit(TEXTS, kind="generate")
            await asyncio.to_thread(run_worker)
            return [(result.index, result.text) async for result in job.results()]

    with cutting(url, list(cuts(seed))) as flaky:
        assert asyncio.run(run(flaky)) == [(at, text[::-1]) for at, text in enumerate(TEXTS)]
    assert n_jobs() == 1


def test_a_broken_download_continues_where_it_broke(url: str, api_key: str, run_worker: RunWorker) -> None:
    with Client(url, api_key) as steady:
        job = steady.submit(TEXTS, kind="generate")
        run_worker()
    with cutting(url, [Cut(600, True), *[Cut(12_000, True)] * 4]) as flaky, Client(flaky, api_key) as client:
        found = [result.index for result in client.job(job.id).results()]
    assert found == list(range(N_ITEMS))


def test_a_delete_whose_answer_was_lost_succeeds(url: str, api_key: str) -> None:
    with Client(url, api_key) as steady:
        job = steady.submit(["abc"], kind="generate")
    with cutting(url, [Cut(1, True)]) as flaky, Client(flaky, api_key) as client:
        found = type(job)(job.info, client._transport, 10)
        found.delete()
    with Client(url, api_key) as steady, pytest.raises(errors.NotFound):
        steady.job(job.id)


def test_a_server_that_stays_away_raises_unreachable(client: TestClient) -> None:
    with (
        Client("http://127.0.0.1:9", retry_seconds=0.1) as nobody,
        pytest.raises(UnreachableError, match="ConnectError"),
    ):
        nobody.models()


@pytest.mark.parametrize("is_async", [False, True])
def test_each_retry_is_told_before_its_pause(client: TestClient, is_async: bool) -> None:
    told: list[tuple[str, float]] = []

    def tell(error: Exception, left_seconds: float) -> None:
        told.append((type(error).__name__, left_seconds))

    async def ask() -> None:
        async with AsyncClient("http://127.0.0.1:9", retry_seconds=0.1, on_retry=tell) as nobody:
            await nobody.models()

    with pytest.raises(UnreachableError):
        if is_async:
            asyncio.run(ask())
        else:
            Client("http://127.0.0.1:9", retry_seconds=0.1, on_retry=tell).models()
    assert told[0] == ("UnreachableError", 0.1)
    left = [seconds for _, seconds in told]
    assert len(left) > 1
    assert left == sorted(left, reverse=True)
