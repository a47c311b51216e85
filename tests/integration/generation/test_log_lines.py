"""What a worker's log lines say of a failure: whose work it was, what our error says, and where it was raised."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from lengthwise.ledger.queue.settle import Settlement
from lengthwise.logs.form import JsonFormatter
from tests.fakes import PickyEngine, WatchedEngine
from tests.integration.conftest import EngineInstaller
from tests.ledger import POOL, sql, submit
from worker.engine.protocol import EngineError, EngineUnavailable, OutOfMemoryError, Request
from worker.generation import settlement
from worker.process import Worker

CANARY = "CaNaRy"


class _Written(logging.Handler):
    """Keeps each line as it is written, with what was bound at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter("generate", "generate-1"))
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def written() -> Iterator[list[dict[str, Any]]]:
    handler, logger = _Written(), logging.getLogger("worker")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler.lines
    logger.setLevel(level)
    logger.removeHandler(handler)


def failing(error: Callable[[], Exception]) -> Callable[[Sequence[Request]], None]:
    """Raises it once, from an error of a library that quotes the text."""
    left = [error]

    def before(_: Sequence[Request]) -> None:
        if left:
            raise left.pop()() from ValueError(CANARY)

    return before


@pytest.mark.parametrize("error", [EngineError, OutOfMemoryError])
def test_a_failed_batch_says_why_and_whose_it_was(
    install_engine: EngineInstaller, worker: Worker, written: list[dict[str, Any]], error: type[Exception]
) -> None:
    install_engine(partial(WatchedEngine, before=failing(partial(error, "the device is gone"))))
    job = submit([CANARY, "abcdef"])
    [(shard,)] = sql("SELECT id FROM shards")
    worker.generate(POOL)
    [line] = [line for line in written if "to run again" in line["message"]]
    assert line["message"] == "a batch of 2 failed: the device is gone; 2 to run again"
    assert (line["job"], line["shard"], line["pool"], line["batch"]) == (str(job), shard, POOL, 1)
    ours, theirs = line["errors"]
    assert (ours["class"], ours["message"]) == (error.__name__, "the device is gone")
    assert any(frame.startswith("worker/generation/batch.py:") for frame in ours["frames"])
    assert theirs == {"class": "ValueError", "frames": []}
    assert CANARY not in json.dumps(written)


def test_an_engine_that_is_away_is_named_with_its_reason(
    install_engine: EngineInstaller, worker: Worker, written: list[dict[str, Any]]
) -> None:
    install_engine(partial(WatchedEngine, before=failing(partial(EngineUnavailable, "the server is away", 60))))
    job = submit([CANARY])
    worker.generate(POOL)
    [line] = [line for line in written if "pauses" in line["message"]]
    assert line["message"] == "model echo pauses for 60 s: the server is away"
    assert line["job"] == str(job)
    assert CANARY not in json.dumps(written)


def test_a_lost_lease_names_the_shards(worker: Worker, written: list[dict[str, Any]]) -> None:
    submit(["a"])
    [(shard,)] = sql("SELECT id FROM shards")
    lost = Settlement(shard, 0, [], 0, 0, 0.0)
    settlement.write(uuid4(), [lost])
    [line] = written
    assert line["message"] == "shards whose lease was lost: 1; their results were not written"
    assert line["shard"] == shard


@pytest.mark.parametrize("at", [0, 3, 7])
def test_a_failed_item_is_named_by_its_job_shard_and_position_and_its_halves_are_no_warnings(
    install_engine: EngineInstaller, worker: Worker, written: list[dict[str, Any]], at: int
) -> None:
    install_engine(lambda spec: PickyEngine(spec, len(CANARY)))
    innocent = submit(["ab"])
    job = submit([CANARY if n == at else "abc" for n in range(8)])
    worker.generate(POOL)
    warned = [line for line in written if line["level"] == "WARNING"]
    first, last = warned
    assert "to run again" in first["message"]
    assert first["jobs"] == [str(innocent), str(job)]
    assert last["message"].startswith("an item failed, on its own: ")
    assert (last["job"], last["item"]) == (str(job), at)
    assert not {"jobs", "n_jobs", "shards", "n_shards"} & last.keys()
    assert CANARY not in json.dumps(written)


def test_a_line_tells_of_each_job_that_ended(worker: Worker, written: list[dict[str, Any]]) -> None:
    jobs = {str(submit(["abc", "abcd"])) for _ in range(3)}
    worker.generate(POOL)
    ended = [line for line in written if line["message"] == "the job ended: all of its items are done"]
    assert {line["job"] for line in ended} == jobs
    assert len(ended) == len(jobs)
    assert not any({"jobs", "n_jobs", "shards", "n_shards"} & line.keys() for line in ended)


def test_an_error_that_ends_a_task_takes_the_ids_of_its_work_along(
    install_engine: EngineInstaller, worker: Worker
) -> None:
    install_engine(partial(WatchedEngine, before=failing(RuntimeError)))
    job = submit([CANARY])
    with pytest.raises(RuntimeError) as raised:
        worker.generate(POOL)
    told = {"name": "generate", "description": "raised unexpected", "exc": CANARY}
    information = (RuntimeError, raised.value, raised.value.__traceback__)
    record = logging.LogRecord("celery.app.trace", logging.ERROR, "trace.py", 1, "%(exc)s", (told,), information)
    line = json.loads(JsonFormatter("generate", "generate-1").format(record))
    assert (line["message"], line["job"], line["pool"]) == ("task generate raised unexpected", str(job), POOL)
    assert CANARY not in json.dumps(line)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_sweep_names_whose_leases_expired(worker: Worker, written: list[dict[str, Any]], n_jobs: int) -> None:
    jobs = {str(submit(["abc"])) for _ in range(n_jobs)}
    sql("UPDATE shards SET state = 'leased', deaths = 1, lease_until = now() - interval '1 s'")
    worker.sweeper.sweep()
    [line] = [line for line in written if line["message"].startswith("leases that workers stopped renewing")]
    assert f": {n_jobs};" in line["message"]
    assert set(line.get("jobs", [line.get("job")])) == jobs
