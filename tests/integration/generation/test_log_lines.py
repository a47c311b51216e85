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
from tests.fakes import WatchedEngine
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
    logger.addHandler(handler)
    yield handler.lines
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
    assert line["message"] == "the lease of 1 shards was lost: their results were not written"
    assert line["shard"] == shard
