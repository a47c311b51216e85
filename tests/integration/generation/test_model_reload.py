"""A new revision of a model while a worker runs: nothing is lost or repeated, and each result names its revision."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from lengthwise.metrics import meters
from lengthwise.models.catalog import ModelSpec
from tests.fakes import CATALOG, WatchedEngine, write_echo_model
from tests.ledger import POOL, knobs, outputs, state, submit
from worker.engine import registry
from worker.engine.protocol import EngineError, Request
from worker.generation import models
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("worker")

FAILED = "lengthwise_model_failed"
SENT = [f"{number} " + "x" * (number % 90) for number in range(1500)]


class Revisions:
    """The engines that the worker loaded, by revision."""

    def __init__(self) -> None:
        self.alive: dict[str, ref[WatchedEngine]] = {}
        #: The revision that ran each batch.
        self.ran: list[str] = []
        #: Called with the number of each batch, from 0 on, while it runs.
        self.before: Callable[[int], None] = lambda _: None
        self.broken: set[str] = set()
        #: The revisions that were still loaded when the next one was loaded.
        self.beside: list[set[str]] = []

    def load(self, spec: ModelSpec) -> WatchedEngine:
        self.beside.append(self.living())
        if spec.revision in self.broken:
            raise EngineError("its weights do not fit")
        engine = WatchedEngine(spec, partial(self._run, spec.made_by))
        self.alive[spec.made_by] = ref(engine)
        return engine

    def _run(self, revision: str, _: Sequence[Request]) -> None:
        self.ran.append(revision)
        self.before(len(self.ran) - 1)

    def living(self) -> set[str]:
        return {name for name, engine in self.alive.items() if engine() is not None}


@pytest.fixture
def revisions(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> Revisions:
    """An installation that checks its catalog all the time, and starts with the revision ``first``."""
    knobs(monkeypatch, models_seconds=1e-9)
    set_revision(catalog, "first")
    made = Revisions()
    monkeypatch.setattr(registry, "load", made.load)
    return made


_inodes = count()


def set_revision(catalog: Path, revision: str, more: str = "") -> None:
    """Makes the catalog name this revision, in its own folder. The file is replaced atomically, as deployments do."""
    write_echo_model(catalog.parent / revision)
    beside = catalog.with_suffix(f".{next(_inodes)}")
    beside.write_text(CATALOG.replace('path = "echo"', f'path = "{revision}"\nrevision = "{revision}"') + more)
    beside.replace(catalog)


def makers(job: Any) -> list[str]:
    """The revision that made each result, in item order. Checks that each item has one result, the right one."""
    found = outputs(job)
    assert {index: line["output"]["text"] for index, line in found.items()} == {
        index: text[::-1] for index, text in enumerate(SENT)
    }
    return [found[index]["model_revision"] for index in range(len(SENT))]


@pytest.fixture
def nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, neither the engine nor the database is slow enough to claim work ahead."""
    monkeypatch.setattr(models, "_QUICK_SECONDS", 3600.0)
    monkeypatch.setattr("worker.generation.distance._FAR_SECONDS", 3600.0)


@pytest.mark.usefixtures("nothing_ahead")
def test_a_job_during_a_reload_has_each_item_once_by_the_old_or_the_new_revision(
    revisions: Revisions, catalog: Path, worker: Worker
) -> None:
    def switch(number: int) -> None:
        if number == 5:
            set_revision(catalog, "second")

    revisions.before = switch
    job = submit(SENT)
    worker.generate(POOL)
    assert state(job) == "completed"
    assert set(makers(job)) == {"first", "second"}
    assert revisions.ran == ["first"] * 6 + ["second"] * (len(revisions.ran) - 6)
    assert revisions.beside == [set(), {"first"}]
    assert revisions.living() == {"second"}


def test_items_claimed_ahead_run_on_the_revision_they_were_claimed_for(
    revisions: Revisions, catalog: Path, worker: Worker
) -> None:
    def switch(number: int) -> None:
        time.sleep(0.02)  # slow enough to be worth claiming ahead
        if number == 5:
            set_revision(catalog, "second")

    revisions.before = switch
    job = submit(SENT)
    worker.generate(POOL)
    assert set(makers(job)) == {"first", "second"}
    assert revisions.ran.count("first") > 6
    assert revisions.ran == sorted(revisions.ran), "what was replaced runs nothing any more"
    assert revisions.living() == {"second"}


def test_if_only_one_model_fits_the_old_one_is_unloaded_first(
    revisions: Revisions, catalog: Path, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    def switch(number: int) -> None:
        time.sleep(0.006)
        if number == 5:
            set_revision(catalog, "second")

    knobs(monkeypatch, loaded_models=1)
    revisions.before = switch
    job = submit(SENT)
    worker.generate(POOL)
    assert set(makers(job)) == {"first", "second"}
    assert revisions.beside == [set(), set()]


@pytest.mark.parametrize("loaded_models", [1, 2])
def test_the_old_revision_stays_if_the_new_one_cannot_be_loaded(
    revisions: Revisions,
    catalog: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    loaded_models: int,
    worker: Worker,
) -> None:
    knobs(monkeypatch, loaded_models=loaded_models)
    revisions.broken = {"second"}
    revisions.before = lambda number: set_revision(catalog, "second") if number == 5 else None
    job = submit(SENT)
    with caplog.at_level(logging.ERROR):
        worker.generate(POOL)
    assert set(makers(job)) == {"first"}
    assert caplog.messages == [
        "model echo not loaded: its weights do not fit",
        "model echo: revision first goes on",
    ]
    monkeypatch.setattr(worker.reload, "retry_at", 0.0)
    revisions.broken = set()
    again = submit(SENT)
    worker.generate(POOL)
    assert set(makers(again)) == {"second"}


def test_the_old_revision_stays_if_the_catalog_is_not_valid(
    revisions: Revisions, catalog: Path, worker: Worker
) -> None:
    def spoil(number: int) -> None:
        if number == 5:
            catalog.write_text("[models")

    revisions.before = spoil
    job = submit(SENT)
    worker.generate(POOL)
    assert set(makers(job)) == {"first"}


@pytest.mark.parametrize("loaded_models", [1, 2])
@pytest.mark.parametrize("mended", ["the old one is named again", "the new one can be loaded"])
def test_a_revision_that_cannot_be_loaded_raises_an_alert_until_it_is_mended(
    revisions: Revisions,
    catalog: Path,
    monkeypatch: pytest.MonkeyPatch,
    loaded_models: int,
    mended: str,
    worker: Worker,
) -> None:
    def is_shown() -> bool:
        families = [family for each in meters.get().of_role(meters.GENERATE) for family in each.collect()]
        return any(family.samples for family in families if family.name == FAILED)

    meters.forget()
    knobs(monkeypatch, loaded_models=loaded_models)
    assert worker.models.get("echo").spec.made_by == "first"
    revisions.broken = {"second"}
    set_revision(catalog, "second")
    worker.reload.run()
    assert is_shown()
    assert worker.models.get("echo").spec.made_by == "first"
    if mended == "the new one can be loaded":
        revisions.broken = set()
    else:
        set_revision(catalog, "first")
    worker.reload.run()
    assert not is_shown()


@pytest.mark.parametrize("spoiled", ["config.json", "tokenizer.json", "the folder"])
def test_a_loaded_model_goes_on_whatever_becomes_of_its_files(
    revisions: Revisions, catalog: Path, worker: Worker, spoiled: str
) -> None:
    """The catalog looks at the files again when it is read anew, and forgets what they said."""
    first = submit(["abc"])
    worker.generate(POOL)
    folder = catalog.parent / "first"
    if spoiled == "the folder":
        folder.rename(folder.with_name("gone"))
    else:
        (folder / spoiled).write_text("{ spoiled")
    catalog.write_text(catalog.read_text() + "\n")
    again = submit(["defg"])
    worker.generate(POOL)
    assert worker.models.catalog().models["echo"].revision == "first"
    assert (state(first), state(again)) == ("completed", "completed")
    assert outputs(again)[0]["output"]["text"] == "gfed"
    assert outputs(again)[0]["model_revision"] == "first"


def test_an_unloaded_old_revision_is_loaded_again_if_the_new_one_fails(
    revisions: Revisions, catalog: Path, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    knobs(monkeypatch, loaded_models=1)
    other = CATALOG.replace("models.echo", "models.other")
    set_revision(catalog, "first", other)
    assert worker.models.get("echo").spec.made_by == "first"
    revisions.broken = {"second"}
    set_revision(catalog, "second", other)
    assert worker.models.get("other").spec.name == "other"
    assert not worker.models.is_loaded("echo")
    assert worker.models.get("echo").spec.made_by == "first"


def test_answers_of_an_old_revision_are_not_reused(revisions: Revisions, catalog: Path, worker: Worker) -> None:
    first = submit(["the same"])
    worker.generate(POOL)
    again = submit(["the same"])
    worker.generate(POOL)
    assert revisions.ran == ["first"]
    set_revision(catalog, "second")
    renewed = submit(["the same"])
    worker.generate(POOL)
    assert revisions.ran == ["first", "second"]
    assert [outputs(job)[0]["model_revision"] for job in (first, again, renewed)] == ["first", "first", "second"]


def test_a_model_that_the_catalog_no_longer_lists_is_unloaded(
    revisions: Revisions, catalog: Path, worker: Worker
) -> None:
    worker.models.get("echo")
    catalog.write_text(catalog.read_text().replace("models.echo", "models.renamed"))
    worker.reload.run()
    assert revisions.living() == set()
    assert not worker.reload.is_due()


def test_an_edit_of_other_models_reloads_nothing(revisions: Revisions, catalog: Path, worker: Worker) -> None:
    worker.models.get("echo")
    set_revision(catalog, "first", CATALOG.replace("models.echo", "models.other"))
    assert worker.reload.is_due()
    worker.reload.run()
    assert len(revisions.beside) == 1
    assert worker.models.names() == ["echo", "other"]


def test_the_device_auto_means_the_workers_device(
    catalog: Path, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    def load(spec: ModelSpec) -> WatchedEngine:
        devices.append(spec.device)
        return WatchedEngine(spec)

    devices: list[str] = []
    monkeypatch.setattr(registry, "load", load)
    knobs(monkeypatch, device="cuda:1")
    own = '[models.own]\npath = "echo"\nengine = "echo"\ndevice = "cpu"\n[models.own.generate]\n'
    catalog.write_text(CATALOG + own)
    worker.models.get("echo")
    worker.models.get("own")
    assert devices == ["cuda:1", "cpu"]
