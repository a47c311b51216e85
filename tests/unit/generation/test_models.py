"""How much a loaded model gets in one batch."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lengthwise.kinds.kind import KindModel
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog
from lengthwise.states import ResultStatus, WorkerRole
from tests.fakes import write_catalog
from tests.unit.generation.test_work import claim
from worker.engine.echo import EchoEngine
from worker.engine.plain_batch import Steps
from worker.engine.protocol import OutOfMemoryError, Request
from worker.generation import batch, models
from worker.generation.models import LoadedModel
from worker.generation.watchdog import Watchdog
from worker.generation.work import Work
from worker.presence import Presence
from worker.shutdown import Shutdown

TRANSLATE = {"source": "en", "target": "de"}


class Small(EchoEngine):
    """Holds at most ``most`` rows, and each beam is a row: neither eleven nor twice five fit."""

    most = 8

    def run(self, requests: Sequence[Request]) -> Steps:
        if sum(request.beams for request in requests) > self.most:
            raise OutOfMemoryError
        yield from super().run([request._replace(beams=1) for request in requests])


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    spec = Catalog.read(write_catalog(tmp_path)).models["echo"]
    limited = spec.model_copy(update={"batch_rows": 12, "batch_tokens": 200})
    engine = Small(limited)
    return LoadedModel(limited, KindModel(limited, tokenizer.load(limited)), engine, engine.capabilities())


@pytest.mark.parametrize(("memory", "said"), [(None, ""), (12_345_678, "12.3 MB, ")])
def test_the_log_says_in_one_line_what_was_loaded_its_memory_and_its_seconds(
    memory: int | None, said: str, model: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    known = replace(model.capabilities, memory_bytes=memory)
    monkeypatch.setattr(EchoEngine, "capabilities", lambda _: known)
    with caplog.at_level("INFO", models.__name__):
        models._load_engine(model.spec)
    [line] = [record.getMessage() for record in caplog.records if record.name == models.__name__]
    runs_as = f"{known.architecture}, {known.quantization}, {known.device}"
    assert re.fullmatch(rf"loaded echo, revision \w+: {runs_as}, {said}in \d+\.\d s", line)


@pytest.mark.parametrize(("beams", "length", "rows"), [(1, 10, 12), (4, 10, 3), (8, 10, 1), (4, 25, 2), (8, 60, 1)])
def test_each_beam_counts_as_a_row(model: LoadedModel, beams: int, length: int, rows: int) -> None:
    batches = model.plan([length] * 12, beams)
    assert [len(batch) for batch in batches] == [rows] * (12 // rows)


def new_runner() -> batch.BatchRunner:
    shutdown = Shutdown()
    return batch.BatchRunner(Watchdog(shutdown), Presence(WorkerRole.GENERATE, shutdown))


@pytest.mark.parametrize(("params", "left"), [({}, 6 * 11), ({"beams": 2}, 2 * 3 * 11)])
def test_after_a_batch_that_does_not_fit_later_ones_have_the_tokens_of_the_largest_half_that_did(
    model: LoadedModel, params: dict[str, Any], left: int
) -> None:
    work = Work(claim([letter * 9 for letter in "abcdefghijk"], "translate", TRANSLATE | params), model.model)
    assert set(work.lengths(range(11))) == {11}
    runner = new_runner()
    runner.take(work, model, range(11), runner.attempt(work, model, range(11)))
    assert model.batch_tokens == left
    assert sum(len(done.results) for done in work.take_finished()) == 11
    assert work.unfinished_shards == []


class Picky(EchoEngine):
    """Has no memory for the item of 20 tokens: not at all, or not in a batch with others."""

    fits_alone = False

    def run(self, requests: Sequence[Request]) -> Steps:
        is_alone = len(requests) == 1
        if any(len(request.tokens) > 20 for request in requests) and not (is_alone and self.fits_alone):
            raise OutOfMemoryError
        yield from super().run(requests)


@pytest.mark.parametrize("place", [0, 5, 6, 10])
@pytest.mark.parametrize("fits_alone", [True, False])
def test_one_large_item_does_not_make_later_batches_small(model: LoadedModel, fits_alone: bool, place: int) -> None:
    texts = [letter * 9 for letter in "abcdefghijk"]
    texts[place] = "x" * 20
    work = Work(claim(texts, "translate", TRANSLATE), model.model)
    picky = model.engine = Picky(model.spec)
    picky.fits_alone = fits_alone
    runner = new_runner()
    runner.take(work, model, range(11), runner.attempt(work, model, range(11)))
    assert model.batch_tokens >= 5 * 11, "the half without it fits"
    statuses = [result.status for done in work.take_finished() for result in done.results]
    assert statuses.count(ResultStatus.FAILED) == (not fits_alone)


def test_a_batch_never_has_more_tokens_than_its_engine_can_hold(model: LoadedModel) -> None:
    roomy = replace(model.capabilities, batch_tokens=1000)
    small = replace(model.capabilities, batch_tokens=50)
    for capabilities, most in ((roomy, 200), (small, 50)):
        limited = LoadedModel(model.spec, model.model, model.engine, capabilities)
        limited.grow()
        assert limited.batch_tokens == most
