"""Runs the review queue example as its documentation says. It files every flagged comment once, and no others."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests import servers
from tests.caller import bearer

ROOT = Path(__file__).parents[2]


@contextmanager
def receiving(url: str, queue: Path, key: str) -> Iterator[str]:
    """Starts the example and waits until it is ready. Yields the URL at which it listens."""
    command = [sys.executable, "-m", "examples.review_queue", "--url", url, "--listen", "127.0.0.1:0"]
    example = subprocess.Popen(
        [*command, "--queue", str(queue)],
        cwd=ROOT, env=os.environ | {"LENGTHWISE_API_KEY": key}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert example.stdout is not None
    try:
        with example.stdout:
            word, _, address = example.stdout.readline().strip().partition(": ")
            assert word == "ready"
            yield address
    finally:
        example.terminate()
        example.wait(20)


@pytest.mark.timeout(240)
def test_flagged_comments_are_filed_for_review(data: Path, tmp_path: Path) -> None:
    queue = tmp_path / "review.ndjson"
    environment = {"LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with servers.up(data, environment=environment) as up:
        url = up.wait_ready()
        with (
            receiving(url, queue, up.key()) as receiver,
            httpx.Client(base_url=url, headers=bearer(up.key()), timeout=60) as client,
        ):
            assert httpx.post(receiver, content=b"{}").status_code == 400, "an unsigned webhook is refused"
            items = (ROOT / "examples" / "moderate.ndjson").read_text("utf-8")
            job = client.post(
                "/v1/jobs?wait=60",
                content='{"kind":"moderate"}\n' + items,
                headers={"content-type": "application/x-ndjson"},
            ).json()
            client.get(f"/v1/jobs/{job['id']}", params={"wait": 60})
            lines = map(json.loads, client.get(f"/v1/jobs/{job['id']}/results").iter_lines())
            flagged = sorted(line["id"] for line in lines if line["output"]["flagged"])
            servers.wait_until(lambda: queue.exists() and len(queue.read_text().splitlines()) >= len(flagged), 60)
            (endpoint,) = client.get("/v1/webhook-endpoints").json()["data"]
            sent = client.get(f"/v1/webhook-endpoints/{endpoint['id']}/deliveries").json()["data"]
            client.post(f"/v1/deliveries/{sent[0]['id']}/resend")
            servers.wait_until(
                lambda: len(client.get(f"/v1/deliveries/{sent[0]['id']}").json()["attempts"]) == 2, 30
            )  # fmt: skip
        filed = [json.loads(line) for line in queue.read_text().splitlines()]
        key = data / "master.key"
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.read_text().strip() not in "".join(log.read_text() for log in (data / "logs").glob("*.log"))
    assert 0 < len(flagged) < len(items.splitlines())
    assert sorted(each["comment"] for each in filed) == flagged
    assert {each["job"] for each in filed} == {job["id"]}
