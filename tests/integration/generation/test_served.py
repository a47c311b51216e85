"""A job whose model runs on another server survives whatever that server does."""

from pathlib import Path
from random import Random

import pytest

from tests.engine import tiny
from tests.engine.backends.served import served
from tests.engine.completions import MODEL, CompletionServer, ServerFault, completion_server, written
from tests.ledger import counts, outputs, sql, submit
from worker.engine.openai import queue
from worker.process import Worker

POOL = "served:test"

CATALOG = """
[models.served]
path = "served"
engine = "openai"
max_new_tokens = 6
[models.served.server]
url = "{url}"
model = "{model}"
[models.served.generate]
"""


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_FIRST_PAUSE_SECONDS", 0.01)


def set_model(server: CompletionServer, catalog: Path) -> None:
    """Makes the catalog name a model of this server."""
    served(catalog.parent / "served", server)
    catalog.write_text(CATALOG.format(url=server.url, model=MODEL))


def prompts(count: int) -> list[list[int]]:
    draw = Random(1)
    return [[draw.randrange(3, 100) for _ in range(draw.randint(1, 30))] for _ in range(count)]


@pytest.mark.usefixtures("worker")
def test_a_job_continues_when_its_server_is_back(catalog: Path, worker: Worker) -> None:
    with completion_server() as server:
        set_model(server, catalog)
    sent = prompts(100)
    job = submit([tiny.text(tokens) for tokens in sent], pool=POOL)
    worker.generate(POOL)
    assert counts(job)["pending"] == 100
    assert sql("SELECT DISTINCT attempts, deaths FROM shards") == [(0, 0)]
    with completion_server(server.server_address[1]) as again:
        again.faults = [ServerFault(429), ServerFault(500), ServerFault()]
        sql("UPDATE shards SET not_before = now()")
        worker.models.get("served").paused_until = 0
        worker.generate(POOL)
    found = outputs(job)
    assert {index: line["output"]["text"] for index, line in found.items()} == {
        index: written(tokens, 6, [])[1] for index, tokens in enumerate(sent)
    }


@pytest.mark.usefixtures("worker")
def test_only_the_item_that_the_server_refuses_fails(catalog: Path, worker: Worker) -> None:
    with completion_server() as server:
        set_model(server, catalog)
        server.poisonous, server.poison = 110, ServerFault(422)
        sent = [*prompts(60), [5, 110, 6]]
        job = submit([tiny.text(tokens) for tokens in sent], pool=POOL)
        worker.generate(POOL)
    found = outputs(job)
    assert found.pop(60)["error"]["code"] == "engine_error"
    assert len(found) == 60
    assert all(line["status"] == "succeeded" for line in found.values())
    assert len(server.bodies) == 62, "what was answered is not asked again"
