"""The operator's rooms: workers and models as they report themselves, and reading ``models.toml`` again."""

import logging
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.page.operate import models, workers
from lengthwise.ledger.workers import ReportedModel
from lengthwise.states import WorkerState
from tests.fakes import CATALOG, write_echo_model
from tests.integration.access import keys
from tests.integration.page.test_escaping import CANARIES, require_harmless
from tests.integration.page.test_rooms import require_well_formed
from tests.integration.page.viewer import Shown, operator, with_scopes
from tests.integration.workers.reported import deliverer, report
from tests.ledger import knobs, sql

ROOMS = ("/page/workers", "/page/models")
LOADED = ReportedModel(
    name="echo",
    state="loaded",
    revision="r1",
    quantization="int8",
    device="cpu",
    memory_bytes=64 * 2**20,
    load_seconds=1.5,
)
PAUSED = ReportedModel(name="echo", state="loaded", paused_seconds=600, paused_for="its server is away")
FAILED = ReportedModel(name="echo", state="failed", reason="its weights do not fit", failed_seconds=90)
OLDER = ReportedModel(name="echo", state="loaded", revision="r1", reason="r2 has no weights", failed_seconds=90)


def text_of(client: TestClient, path: str) -> str:
    answered = operator(client).get(path)
    assert answered.status_code == 200, answered.text
    return Shown(answered.text).text


def test_without_workers_the_rooms_say_how_one_is_started(client: TestClient) -> None:
    assert "lengthwise worker" in text_of(client, "/page/workers")
    assert "No live worker holds a model" in text_of(client, "/page/models")


def test_a_worker_is_shown_with_what_it_does_and_holds(client: TestClient) -> None:
    report(
        [LOADED], name="generate-7", state=WorkerState.WORKING, model="echo", pool="echo:1", batch_rows=64,
        batch_tokens=3968, n_items=12_345, items_per_second=3.5, last_error="EngineError: the batch failed",
        error_seconds=65.0,
    )  # fmt: skip
    deliverer()
    text = text_of(client, "/page/workers")
    for said in (
        "generate-7 generate on node1, process 7, cpu, 0.1.0",
        "up for 1 min",
        "last error, 1 min ago: EngineError: the batch failed",
        "echo 64 rows, 3,968 tokens, pool echo:1",
        "3.5 12,345 64.0 MiB",
        "webhooks, sweep",
        "Live 2 1 of them work",
        "over the last minute Models in memory 64.0 MiB All workers",
    ):
        assert said in text, said
    assert re.search(r"working last step \d+ s ago", text), text
    assert "Lost:" not in text


def test_a_silent_worker_is_lost_and_the_room_says_for_how_long(client: TestClient) -> None:
    report([LOADED], name="generate-8", state=WorkerState.WORKING, model="echo", items_per_second=9)
    sql("UPDATE workers SET seen_at = now() - interval '3 minutes'")
    report(name="generate-9", items_per_second=2)
    text = text_of(client, "/page/workers")
    assert re.search(r"generate-8 .* lost not seen for 3 min", text), text
    assert "Lost: 1 worker is silent" in text
    assert "Live 1 0 of them work" in text
    assert "Items a second 2 over the last minute All workers" in text, (
        "a lost worker counts for nothing, nor does its memory"
    )


@pytest.mark.parametrize(
    ("model", "at_worker", "at_model"),
    [
        (FAILED, "could not load echo: its weights do not fit", "could not be loaded, 1 min ago"),
        (PAUSED, "echo pauses until", "paused"),
        (OLDER, "goes on with revision r1 of echo; the newer one: r2 has no weights", "the newer revision could not"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_in_both_rooms(
    client: TestClient, model: ReportedModel, at_worker: str, at_model: str
) -> None:
    report([model])
    assert at_worker in text_of(client, "/page/workers")
    text = text_of(client, "/page/models")
    assert at_model in text
    assert (model.reason or model.paused_for or "") in text


@pytest.mark.parametrize(
    ("reported", "said"),
    [([], "not loaded 0"), ([LOADED], "loaded 1"), ([FAILED], "failed 0"), ([LOADED, FAILED], "loaded 1")],
)
def test_a_model_is_loaded_if_one_worker_holds_it(client: TestClient, reported: list[ReportedModel], said: str) -> None:
    for number, model in enumerate(reported):
        report([model], name=f"generate-{number}")
    assert re.search(rf"echo .* by echo .* {said} ", text_of(client, "/page/models"))


def test_a_lost_worker_holds_no_model(client: TestClient) -> None:
    report([LOADED])
    sql("UPDATE workers SET seen_at = now() - interval '1 minute'")
    assert "No live worker holds a model" in text_of(client, "/page/models")


def test_a_model_that_a_worker_holds_although_no_file_names_it_is_shown(client: TestClient) -> None:
    report([ReportedModel(name="dropped", state="loaded", revision="r9")])
    assert re.search(r"dropped at generate-1 on node1 generate-1 on node1 loaded r9", text_of(client, "/page/models"))


def test_an_unusable_model_says_why_and_what_mends_it(catalog: Path, client: TestClient) -> None:
    (catalog.parent / "echo" / "tokenizer.json").unlink()
    text = text_of(client, "/page/models")
    assert "unusable" in text and "To mend it:" in text


@pytest.mark.parametrize(
    ("path", "module", "limit"), [("/page/workers", workers, "_MOST_SHOWN"), ("/page/models", models, "_MOST_HELD")]
)
def test_a_very_long_list_is_cut_and_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, module: object, limit: str
) -> None:
    monkeypatch.setattr(module, limit, 2)
    for number in range(5):
        report([LOADED], name=f"generate-{number}")
    text = text_of(client, path)
    assert "3 more are not shown" in text
    assert "generate-1" in text and "generate-2" not in text


@pytest.fixture
def _seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that never reads the file again by itself."""
    knobs(monkeypatch, models_seconds=600)


@pytest.mark.usefixtures("_seldom")
def test_models_toml_is_read_again(catalog: Path, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    viewer = operator(client)
    write_echo_model(catalog.parent / "second")
    catalog.write_text(CATALOG.replace('path = "echo"', 'path = "second"\nrevision = "second"'))
    assert "revision second" not in Shown(viewer.get("/page/models").text).text
    with caplog.at_level(logging.INFO):
        done = viewer.post("/page/models/reload")
    assert (done.status_code, done.headers["location"]) == (303, "/page/models?read")
    text = Shown(viewer.get(done.headers["location"]).text).text
    assert "what it says is in force" in text and "revision second" in text
    [line] = [record.getMessage() for record in caplog.records if "on the page" in record.getMessage()]
    assert "had the models read again" in line


@pytest.mark.usefixtures("_seldom")
def test_a_wrong_models_toml_is_refused_and_the_models_stay(catalog: Path, client: TestClient) -> None:
    catalog.write_text("[models")
    viewer = operator(client)
    refused = viewer.post("/page/models/reload")
    assert refused.status_code == 409
    shown = Shown(refused.text)
    assert "models.toml is not valid, and the models stay as they were" in shown.text
    assert str(catalog.parent) not in refused.text
    require_well_formed(refused.text)
    later = Shown(viewer.get("/page/models").text).text
    assert "Its last valid version stays in force" in later and "by echo" in later


def test_only_the_operator_enters(client: TestClient) -> None:
    report([LOADED], name="generate-7")
    stranger = keys.new_tenant(client)
    for viewer in (
        with_scopes(client, "read", "submit", "webhooks"),
        with_scopes(client, "admin", tenant=stranger),
        with_scopes(client, "read", tenant=stranger),
    ):
        for path in (*ROOMS, "/page/events/workers", "/page/events/models"):
            answered = viewer.get(path)
            assert answered.status_code == 403, path
            assert "generate-7" not in answered.text
        assert viewer.post("/page/models/reload").status_code == 403
        links = {each["href"] for each in Shown(viewer.get("/page").text).all("a")}
        assert not links & set(ROOMS)


@pytest.mark.parametrize("path", ROOMS)
@pytest.mark.parametrize("reported", [[LOADED], [PAUSED], [FAILED], [OLDER]])
def test_a_room_is_well_formed_whatever_is_reported(
    client: TestClient, path: str, reported: list[ReportedModel]
) -> None:
    report(reported, state=WorkerState.WORKING, model="echo", pool="echo:1", last_error="E", error_seconds=1.0)
    require_well_formed(operator(client).get(path).text)


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("path", ROOMS)
def test_what_a_worker_says_is_text(client: TestClient, canary: str, path: str) -> None:
    model = ReportedModel(
        name=canary, state="loaded", revision=canary, quantization=canary, device=canary, reason=canary,
        paused_seconds=60, paused_for=canary,
    )  # fmt: skip
    report([model], name=canary, host=canary, model=canary, pool=canary, last_error=canary, device=canary)
    answered = operator(client).get(path)
    assert answered.status_code == 200
    require_harmless(answered.text, canary)
    assert " ".join(canary.split()) in Shown(answered.text).text
