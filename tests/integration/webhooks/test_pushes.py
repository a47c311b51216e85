"""``job.results``: settled results in pages, each once for each endpoint that follows the job, and filtered."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from pydantic_core import to_json
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.ledger.queue.settle import ItemResult, Settlement, settle
from lengthwise.ledger.webhooks import push
from lengthwise.states import ResultStatus
from tests import ledger
from tests.integration.conftest import RunWorker, submit
from tests.integration.webhooks.hooks import PATH, register
from tests.ledger import must_take, sql
from tests.workers import sweep

pytestmark = pytest.mark.usefixtures("each_store")

URL = "https://8.8.8.8/hook"


def write_pages(shards: int = 1000) -> int:
    with database.engine().begin() as connection:
        return push.write_pages(connection, shards=shards)


def pages(endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """The data of its ``job.results`` events, oldest first."""
    found = sql(
        "SELECT body FROM deliveries WHERE endpoint_id = :id AND event = 'job.results' ORDER BY created_at, ctid",
        id=UUID(endpoint["id"]),
    )
    return [json.loads(body)["data"] for (body,) in found]


def indexes(endpoint: dict[str, Any]) -> list[int]:
    return [result["index"] for page in pages(endpoint) for result in page["results"]]


def settle_all(padding: int = 0) -> None:
    """Claims and settles everything, one claim at a time. The metadata of item n contains n."""
    while claimed := ledger.take(items=50):
        settlements = []
        for shard in claimed.shard_ids:
            results = []
            for item in (item for item in claimed.items if item.shard_id == shard):
                line = {"index": item.index, "status": "succeeded", "output": {"text": "y" * padding}}
                line |= {"metadata": {"n": item.index}, "warnings": ["copied"] if item.index % 2 else []}
                results.append(ItemResult(item.index, ResultStatus.SUCCEEDED, to_json(line) + b"\n"))
            settlements.append(Settlement(shard, claimed.shards[shard].store, results, 1, 1, 1.0))
        with database.engine().begin() as connection:
            assert settle(connection, claimed.token, settlements).ids


def test_each_result_is_pushed_in_one_page_as_in_a_download(client: TestClient, run_worker: RunWorker) -> None:
    endpoint = register(client, URL, "job.results")
    job = submit(client, [{"id": f"c-{n}", "text": "x" * (n % 40 + 1), "metadata": {"n": n}} for n in range(300)])
    run_worker()
    while write_pages(shards=2):
        pass
    found = pages(endpoint)
    assert {page["id"] for page in found} == {job["id"]}
    assert {page["kind"] for page in found} == {"generate"}
    downloaded = [json.loads(line) for line in client.get(job["links"]["results"]).iter_lines()]
    pushed = sorted((result for page in found for result in page["results"]), key=lambda result: result["index"])
    assert pushed == downloaded
    assert write_pages() == 0
    assert sql("SELECT count(*) FROM pushes") == [(0,)]


def test_a_page_has_at_most_500_results_and_a_megabyte(client: TestClient) -> None:
    endpoint = register(client, URL, "job.results")
    ledger.submit(["x"] * 1_200)
    settle_all()
    write_pages()
    assert [len(page["results"]) for page in pages(endpoint)] == [500, 500, 200]
    sql("DELETE FROM deliveries")
    ledger.submit(["x"] * 10)
    settle_all(padding=300_000)
    ledger.submit(["x"])
    settle_all(padding=2_000_000)
    write_pages()
    assert [len(page["results"]) for page in pages(endpoint)][:3] == [3, 3, 3]
    assert [len(page["results"]) for page in pages(endpoint)][-1] == 1
    assert len(indexes(endpoint)) == 11


def test_results_are_pushed_in_the_order_in_which_they_settled(client: TestClient) -> None:
    endpoint = register(client, URL, "job.results")
    ledger.submit(["x"] * 40, shard_items=10)
    claimed = must_take()
    for shard in reversed(claimed.shard_ids):
        ledger.put(claimed, [shard])
    write_pages()
    found = indexes(endpoint)
    assert [found[at : at + 10] for at in (0, 10, 20, 30)] == [
        list(range(first, first + 10)) for first in (30, 20, 10, 0)
    ]


def test_a_filter_leaves_out_results_that_do_not_match(client: TestClient) -> None:
    expected = {
        "metadata.n >= 3 and metadata.n < 6 or metadata.n == 7": [3, 5, 7],
        "metadata.n == 100": [],
        "index < 3": [0, 1, 2],
        'text != "a"': [0, 1, 2, 3, 5, 6, 7, 8, 9],
        'status != "succeeded"': [4],
        "output == null or index == 9": [4, 9],
        '"copied" in warnings': [1, 3, 5, 7, 9],
    }
    filtered = {text: register(client, URL, "job.results", filter=text) for text in expected}
    every = register(client, URL, "job.results")
    ledger.submit(["x"] * 10, refused=[4])
    settle_all()
    write_pages()
    assert {text: sorted(indexes(endpoint)) for text, endpoint in filtered.items()} == expected
    assert sorted(indexes(every)) == list(range(10)), "an item that was refused at submission has its result too"


def test_an_endpoint_that_subscribes_later_or_to_other_events_gets_nothing(client: TestClient) -> None:
    other = register(client, URL, "job.completed")
    ledger.submit(["x"] * 3)
    later = register(client, URL, "job.results")
    settle_all()
    assert sql("SELECT count(*) FROM pushes") == [(0,)], "settling what nobody follows writes nothing"
    write_pages()
    assert (pages(other), pages(later)) == ([], [])


def test_unsubscribed_and_deleted_endpoints_get_no_more_and_disabled_ones_keep_deliveries(client: TestClient) -> None:
    unsubscribed, gone, disabled = (register(client, URL, "job.results") for _ in range(3))
    ledger.submit(["x"] * 3)
    client.patch(f"{PATH}/{unsubscribed['id']}", json={"events": ["job.completed"]})
    client.delete(f"{PATH}/{gone['id']}")
    client.patch(f"{PATH}/{disabled['id']}", json={"enabled": False})
    settle_all()
    write_pages()
    assert (pages(unsubscribed), pages(gone)) == ([], [])
    assert sql("SELECT state FROM deliveries WHERE event = 'job.results'") == [("failed",)]
    assert indexes(disabled) == [0, 1, 2]


def test_a_settlement_whose_lease_was_lost_pushes_nothing(client: TestClient) -> None:
    endpoint = register(client, URL, "job.results")
    ledger.submit(["x"] * 8, shard_items=4)
    zombie = must_take()
    ledger.let_leases_run_out()
    sweep()
    for claimed in ledger.take_all():
        ledger.put(claimed)
    assert ledger.put(zombie).shard_ids == frozenset()
    write_pages()
    assert sorted(indexes(endpoint)) == list(range(8)), "shards that were cut in two are followed as well"


def test_concurrent_pushers_push_each_result_once(client: TestClient) -> None:
    endpoint = register(client, URL, "job.results")
    ledger.submit(["x"] * 400, shard_items=4)
    settle_all()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [write_pages(shards=3) for _ in range(40)], range(4)))
    assert sorted(indexes(endpoint)) == list(range(400))


@pytest.mark.parametrize("how", ["before", "after"])
def test_deleting_a_job_deletes_its_pages(client: TestClient, how: str) -> None:
    register(client, URL, "job.results")
    job = ledger.submit(["x"] * 3)
    settle_all()
    if how == "after":
        write_pages()
    assert client.delete(f"/v1/jobs/{job}").status_code == 204
    write_pages()
    sweep()
    for table in ("pushes", "deliveries", "results"):
        assert sql(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - of constants
