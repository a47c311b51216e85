"""A file that is sent by the page becomes the same job as one that is sent to the API."""

import asyncio
import io
import json
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from api.page.submit.sent_form import JobForm
from lengthwise.errors import TooBusy
from tests.integration.conftest import RunWorker, read_job
from tests.integration.page.viewer import Shown, Viewer, operator, with_scopes
from tests.ledger import sql

TEXTS = ["abc", "de", "f"]
FILES = {
    "a.csv": b"text\nabc\nde\nf\n",
    "a.tsv": b"id\ttext\n1\tabc\n2\tde\n3\tf\n",
    "a.txt": b"abc\nde\nf\n",
    "crlf.txt": b"abc\r\nde\r\nf",
    "a.ndjson": b'"abc"\n{"text":"de"}\n{"id":"3","text":"f"}\n',
    "a.jsonl": b'"abc"\n"de"\n"f"\n',
    "semicolons.csv": b"text;more\nabc;1\nde;2\nf;3\n",
    "utf-16.csv": "text\nabc\nde\nf\n".encode("utf-16"),
    "utf-16.txt": "abc\nde\nf\n".encode("utf-16"),
}


def send(viewer: Viewer, name: str, content: bytes, path: str = "/page/submit", /, **fields: str) -> Any:
    return viewer.post(path, data={"kind": "generate", **fields}, files={"file": (name, content)})


def job_of(answered: Any) -> str:
    assert answered.status_code == 303, Shown(answered.text).text
    location: str = answered.headers["location"]
    return location.removeprefix("/page/jobs/")


def parquet() -> bytes:
    pa = pytest.importorskip("pyarrow")
    written = io.BytesIO()
    pytest.importorskip("pyarrow.parquet").write_table(pa.table({"text": TEXTS}), written)
    return written.getvalue()


@pytest.mark.parametrize("name", [*FILES, "a.parquet"])
def test_each_format_becomes_the_same_job(client: TestClient, run_worker: RunWorker, name: str) -> None:
    content = FILES.get(name) or parquet()
    fields = {"encoding": "utf-16"} if name.startswith("utf-16") else {}
    preview = send(operator(client), name, content, "/page/submit/preview", **fields)
    assert preview.status_code == 200, Shown(preview.text).text
    assert sql("SELECT count(*) FROM jobs") == [(0,)]
    for text in TEXTS:
        assert f" {text} " in f" {Shown(preview.text).text} "
    job = job_of(send(operator(client), name, content, **fields))
    run_worker()
    found = read_job(client, job)
    assert (found["state"], found["counts"]["succeeded"], found["source_file"]) == ("completed", 3, name)
    results = operator(client).get(f"/page/jobs/{job}/results/ndjson")
    outputs = [json.loads(line)["output"]["text"] for line in results.text.splitlines()]
    assert outputs == [text[::-1] for text in TEXTS]
    assert results.headers["content-disposition"] == f'attachment; filename="results-{job}.ndjson"'


def test_everything_typed_reaches_the_job(client: TestClient) -> None:
    fields = {
        "kind": "translate",
        "translate.source": "en",
        "translate.target": "de",
        "model": "echo",
        "text_column": "title",
        "id_column": "sku",
        "delimiter": "tab",
        "name": "catalogue",
        "tags": "nightly, shop",
        "priority": "background",
        "parameters": "beams=2\nscore=true",
    }
    job = job_of(send(operator(client), "a.csv", b"sku\ttitle\n1\tabc\n", **fields))
    found = read_job(client, job)
    assert found["params"] | {"source": "en", "target": "de", "beams": 2, "score": True} == found["params"]
    assert (found["name"], found["tags"], found["priority"]) == ("catalogue", ["nightly", "shop"], "background")
    assert found["table"] | {"delimiter": "\t", "text_columns": ["title"]} == found["table"]


def test_several_targets_in_one_field_are_targets_of_each_row(client: TestClient) -> None:
    fields = {"kind": "translate", "translate.source": "zh", "translate.target": "en,en"}
    twice = send(operator(client), "a.csv", b"text\nabc\n", **fields)
    assert twice.status_code == 422
    fields["translate.target"] = "en,"
    assert read_job(client, job_of(send(operator(client), "a.csv", b"text\nabc\n", **fields)))["table"]["targets"] == [
        "en"
    ]


def test_a_form_that_is_sent_twice_makes_one_job(client: TestClient) -> None:
    viewer, once = operator(client), str(uuid4())
    assert len({job_of(send(viewer, "a.txt", b"abc\n", once=once)) for _ in range(2)}) == 1
    assert sql("SELECT count(*) FROM jobs") == [(1,)]


def test_a_webhooks_secret_is_shown_once(client: TestClient) -> None:
    answered = send(operator(client), "a.txt", b"abc\n", webhook="https://8.8.8.8/")
    assert answered.status_code == 200
    [secret] = [each["value"] for each in Shown(answered.text).all("input") if each.get("id") == "secret"]
    assert secret and secret.startswith("whsec_")
    [(job,)] = sql("SELECT id FROM jobs")
    assert secret not in operator(client).get(f"/page/jobs/{job}").text


def test_a_key_that_may_not_read_is_told_the_job(client: TestClient) -> None:
    answered = send(with_scopes(client, "submit"), "a.txt", b"abc\n")
    assert answered.status_code == 200
    [(job,)] = sql("SELECT id FROM jobs")
    assert str(job) in Shown(answered.text).text


#: By what is wrong: the file, the fields, the status, and what the page says.
REFUSED: dict[str, tuple[str, bytes, dict[str, str], int, str]] = {
    "no file": ("", b"", {}, 422, "choose a file"),
    "an empty file": ("a.csv", b"", {}, 422, "choose a file"),
    "no format": ("a.bin", b"abc", {}, 422, "choose a format"),
    "no such column": ("a.csv", b"title\nabc\n", {}, 422, "does not have"),
    "no such kind": ("a.txt", b"abc\n", {"kind": "sing"}, 422, "unknown kind"),
    "no such model": ("a.txt", b"abc\n", {"model": "other"}, 422, "unknown model"),
    "no such encoding": ("a.txt", b"abc\n", {"encoding": "klingon"}, 422, "must be an encoding"),
    "a workbook": ("a.csv", b"PK\x03\x04abc", {}, 422, "Excel"),
    "a compressed text": ("a.txt", b"\x1f\x8babc", {}, 422, "gzip"),
    "not UTF-8": ("a.txt", b"abc\n\xff\xfe\xff\n", {}, 422, "line 2"),
    "a wrong row": ("a.csv", b"text,b\nabc,1\nde\nf,1,2,3\n", {}, 422, "row"),
    "a wrong line": ("a.ndjson", b'"abc"\n{"txt":"a"}\n', {}, 422, "unknown field"),
    "an unknown parameter": ("a.txt", b"abc\n", {"parameters": "colour=red"}, 422, "unknown field"),
    "no parameter": ("a.txt", b"abc\n", {"parameters": "red"}, 422, "NAME=VALUE"),
    "a deadline that is past": ("a.txt", b"abc\n", {"deadline": "2020-01-31T12:00"}, 422, "must lie in the future"),
    "a deadline that is none": ("a.txt", b"abc\n", {"deadline": "soon"}, 422, "must be a date"),
    "a webhook at home": ("a.txt", b"abc\n", {"webhook": "http://127.0.0.1/"}, 422, "webhook"),
    "no such form": ("a.txt", b"abc\n", {"once": "x"}, 404, "no such form"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_refused_file_leaves_nothing_and_keeps_what_was_typed(client: TestClient, wrong: str) -> None:
    name, content, fields, status, says = REFUSED[wrong]
    answered = send(operator(client), name, content, **{"name": "kept", **fields})
    shown = Shown(answered.text)
    assert (answered.status_code, says in shown.text) == (status, True), shown.text
    assert "kept" in {each.get("value") for each in shown.all("input")}
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def test_the_limits_of_bodies_hold(client: TestClient) -> None:
    viewer = operator(client)
    long = send(viewer, "a.txt", b"x" * (2**20 + 1) + b"\n")
    assert (long.status_code, "line 1" in Shown(long.text).text) == (413, True)
    many = viewer.post("/page/submit", data={f"field{n}": "x" for n in range(200)}, files={"file": ("a.txt", b"abc\n")})
    assert (many.status_code, "parts" in Shown(many.text).text) == (400, True)
    field = send(viewer, "a.txt", b"abc\n", parameters="a" * 5000)
    assert field.status_code == 400
    assert viewer.post("/page/submit", data={"kind": "generate"}).status_code == 415


def test_a_full_queue_refuses_the_file_before_it_is_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise TooBusy("your jobs have 1 or more tokens waiting, which is the limit", retry_after=7)

    viewer = operator(client)
    monkeypatch.setattr(client.app.state.shared.backlog, "check", refuses)  # type: ignore[attr-defined]
    answered = send(viewer, "a.txt", b"abc\n")
    assert (answered.status_code, answered.headers["retry-after"]) == (429, "7")
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    ("name", "cut", "rows"),
    [
        ("a.csv", b'text,b\nabc,1\nde,2\n"f', 2),
        ("a.ndjson", b'"abc"\n"de"\n{"text":"f', 1),
        ("a.txt", "abc\nde\nfé".encode()[:-1], 1),
    ],
)
def test_the_beginning_of_a_file_is_enough_for_a_preview(client: TestClient, name: str, cut: bytes, rows: int) -> None:
    answered = send(operator(client), name, cut, "/page/submit/preview", is_part="yes")
    assert answered.status_code == 200, Shown(answered.text).text
    text = Shown(answered.text).text
    assert [f" {each} " in f" {text} " for each in TEXTS[:rows]] == [True] * rows


def test_a_preview_says_what_is_wrong_with_a_row(client: TestClient) -> None:
    answered = send(operator(client), "a.ndjson", b'"abc"\n{"txt":"de"}\n"f"\n', "/page/submit/preview")
    assert answered.status_code == 200
    assert "unknown field" in Shown(answered.text).text


def test_a_reader_sends_nothing(client: TestClient) -> None:
    for path in ("/page/submit", "/page/submit/preview"):
        assert send(with_scopes(client, "read"), "a.txt", b"abc\n", path).status_code == 403
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def test_a_form_is_parsed_beside_the_event_loop(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    feeding: set[bool] = set()
    feed = JobForm.feed

    def watched(form: JobForm, data: bytes) -> bytes:
        feeding.add(_has_event_loop())
        return feed(form, data)

    monkeypatch.setattr(JobForm, "feed", watched)
    job_of(send(operator(client), "a.csv", FILES["a.csv"]))
    assert feeding == {False}


def _has_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
