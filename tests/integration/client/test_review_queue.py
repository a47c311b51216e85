"""The example's receiver on its own server files each signed page of flagged results once, and nothing else."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic_core import to_json
from starlette.testclient import TestClient

from examples.review_queue import ReviewQueue, register, server
from lengthwise import database
from lengthwise.ledger.queue.settle import ItemResult, Settlement, settle
from lengthwise.states import ResultStatus
from tests import ledger
from tests.integration.webhooks.hooks import PATH, deliveries

pytestmark = pytest.mark.usefixtures("reachable")


@contextmanager
def listening(client: TestClient, queue: Path) -> Iterator[str]:
    """Starts and registers the example's server as the example does. Yields its URL."""
    secret: list[str] = []
    with server(("127.0.0.1", 0), secret, ReviewQueue(queue)) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{receiver.server_port}/hooks"
        secret.append(register(cast(httpx.Client, client), url))
        try:
            yield url
        finally:
            receiver.shutdown()
            thread.join()


def settle_comments(count: int) -> None:
    """Every third comment is flagged."""
    ledger.submit(["x"] * count, kind="moderate")
    claimed = ledger.must_take()
    for shard in claimed.shard_ids:
        results = []
        for item in (item for item in claimed.items if item.shard_id == shard):
            output = {"flagged": item.index % 3 == 0, "scores": {"spam": 0.5}}
            line: dict[str, Any] = {"index": item.index, "id": f"c-{item.index}", "status": "succeeded"}
            results.append(ItemResult(item.index, ResultStatus.SUCCEEDED, to_json(line | {"output": output}) + b"\n"))
        with database.engine().begin() as connection:
            settle(connection, claimed.token, [Settlement(shard, claimed.shards[shard].store, results, 1, 1, 1.0)])


def test_each_flagged_comment_is_filed_once(client: TestClient, tmp_path: Path, deliver: Callable[[], None]) -> None:
    queue = tmp_path / "review.ndjson"
    with listening(client, queue) as url:
        assert httpx.post(url, content=b"{}").status_code == 400, "what nobody signed is not filed"
        settle_comments(200)
        deliver()
        (endpoint,) = client.get(PATH).json()["data"]
        sent = deliveries(client, endpoint, state="delivered")
        client.post(f"/v1/deliveries/{sent[0]['id']}/resend")
        deliver()
        assert len(deliveries(client, endpoint)[0]["attempts"]) == 2
    filed = [json.loads(line)["comment"] for line in queue.read_text().splitlines()]
    assert sorted(filed) == sorted(f"c-{n}" for n in range(0, 200, 3))
