"""Tables through the API: how they were read, what comes back, and what several columns and targets become."""

import csv
import io
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from lengthwise.formats import source
from lengthwise.tables import metadata
from tests.integration.api.test_body_formats import PARQUET, post, results
from tests.integration.conftest import RunWorker, read_job
from tests.integration.jobs.test_results import work_a_little
from tests.integration.jobs.test_retry import fail, retry
from tests.ledger import sql
from tests.unit.api.parquet_bombs import BOMBS
from tests.workers import sweep

HEAD = {"kind": "generate"}


def in_parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def rows(client: TestClient, job: dict[str, Any], **params: Any) -> list[dict[str, str]]:
    answer = results(client, job, params={"format": "csv", **params})
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def lines(client: TestClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results(client, job).text.splitlines()]


def test_the_answer_says_how_the_table_was_read(client: TestClient) -> None:
    job = post(client, "id;Größe;text\n1;2;abc\n".encode("cp1252"), "text/csv", HEAD | {"encoding": "windows-1252"})
    assert job["table"] == read_job(client, job["id"])["table"] == {
        "format": "csv", "delimiter": ";", "encoding": "cp1252", "text_columns": ["text"], "targets": [],
    }  # fmt: skip
    assert post(client, b'{"kind":"generate"}\n"a"\n', "application/x-ndjson")["table"] is None


def test_every_column_of_a_csv_comes_back_before_the_new_ones(client: TestClient, run_worker: RunWorker) -> None:
    content = 'price;id;text;note;\r\n1,50;x;ab c;"a;""b""\r\nc";\r\n;;;;\r\n;y;;é;\r\n'.encode()
    job = post(client, content, "text/csv", HEAD)
    assert job["counts"]["total"] == 2
    run_worker()
    answer = results(client, job, params={"format": "csv"})
    found = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert found[0] == [
        "price", "id", "text", "note", "", "status", "output.text", "output.finish_reason", "warnings",
        "error.code", "error.message", "usage.input_tokens", "usage.output_tokens", "model_revision",
    ]  # fmt: skip
    assert [row[:8] for row in found[1:]] == [
        ["1,50", "x", "ab c", 'a;"b"\r\nc', "", "succeeded", "c ba", "stop"],
        ["", "y", "", "é", "", "succeeded", "", "stop"],
    ]
    assert set(rows(client, job, columns="results")[0]) >= {"index", "id", "output.text"}
    assert "price" not in rows(client, job, columns="results")[0]
    tabbed = results(client, job, params={"format": "csv", "delimiter": "tab"}).text
    assert tabbed.splitlines()[0].split("\t")[:4] == ["price", "id", "text", "note"]
    assert client.get(job["links"]["results"], params={"format": "csv", "delimiter": "ab"}).status_code == 422
    typed = pq.read_table(io.BytesIO(results(client, job, params={"format": "parquet"}).content))
    assert typed.column_names == found[0]
    assert typed["price"].to_pylist() == ["1,50", ""]
    own = {"index", "id", "status", "output", "usage", "model_revision"}
    assert [line.keys() for line in lines(client, job)] == [own, own | {"warnings"}]
    assert all("metadata" not in line for line in lines(client, job))
    assert read_job(client, job["id"])["warnings"] == {"blank": 1}


def test_the_types_of_parquet_come_back(client: TestClient, run_worker: RunWorker) -> None:
    sent = pa.table({
        "day": [date(2031, 1, 31), None], "text": pa.array([b"abc", None]), "price": [Decimal("1.50"), Decimal("0.10")],
        "raw": [b"\xff", b""], "id": pa.array([2**63, 7], pa.uint64()), "tags": [["a"], []],
    })  # fmt: skip
    job = post(client, in_parquet(sent), PARQUET, HEAD)
    run_worker()
    found = pq.read_table(io.BytesIO(results(client, job, params={"format": "parquet"}).content))
    expected = pq.read_table(io.BytesIO(in_parquet(sent)))
    assert found.select(sent.column_names).equals(expected)
    assert found["output.text"].to_pylist() == ["cba", ""]
    assert [line["id"] for line in lines(client, job)] == [str(2**63), "7"]
    shown = rows(client, job)
    assert [list(row.values())[:6] for row in shown] == [
        ["2031-01-31", "abc", "1.50", "_w==", str(2**63), '["a"]'],
        ["", "", "0.10", "", "7", "[]"],
    ]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([1], "int64"),
        ([1.5], "double"),
        ([date(2031, 1, 31)], "date32[day]"),
        ([Decimal("1.5")], "decimal128(2, 1)"),
        ([["CaNaRy"]], "list"),
        ([{"CaNaRy": "a"}], "struct"),
        ([True], "bool"),
    ],
)
def test_a_column_of_texts_that_holds_none_is_a_422_that_names_its_type(
    client: TestClient, texts: list[Any], said: str
) -> None:
    headers = {"content-type": PARQUET, "lengthwise-job": json.dumps(HEAD)}
    answer = client.post("/v1/jobs", content=in_parquet(pa.table({"text": texts})), headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "text_column")
    assert f"of type {said}, " in answer.json()["detail"]
    assert "CaNaRy" not in answer.text


def test_a_missing_column_is_a_422_that_lists_the_columns_there_are(client: TestClient) -> None:
    headers = {"content-type": "text/csv", "lengthwise-job": json.dumps(HEAD | {"text_column": "title"})}
    answer = client.post("/v1/jobs", content=b"id;titel\n1;a\n", headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "text_column")
    assert "'id', 'titel'" in answer.json()["detail"]


WRONG = {
    "targets of a kind that has none": (HEAD | {"targets": ["de"]}, "targets"),
    "a separator of two characters": (HEAD | {"delimiter": ";;"}, "delimiter"),
    "an encoding that is none": (HEAD | {"encoding": "rot13"}, "encoding"),
    "target and targets": ({"kind": "translate", "source": "zh", "target": "en", "targets": ["en"]}, "targets"),
    "an unknown target": ({"kind": "translate", "source": "zh", "targets": ["en", "CaNaRy"]}, "target"),
    "a missing one of several columns": (HEAD | {"text_columns": ["text", "more"]}, "text_columns[1]"),
}


@pytest.mark.parametrize(("head", "field"), WRONG.values(), ids=WRONG.keys())
def test_what_a_table_cannot_have_is_a_422(client: TestClient, head: Any, field: str) -> None:
    headers = {"content-type": "text/csv", "lengthwise-job": json.dumps(head)}
    answer = client.post("/v1/jobs", content=b"id,text\n1,abc\n", headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert "CaNaRy" not in answer.text


@pytest.mark.parametrize("name", ["delimiter", "encoding"])
def test_parquet_has_no_separator_and_no_encoding(client: TestClient, name: str) -> None:
    head = HEAD | {name: {"delimiter": ";", "encoding": "utf-8"}[name]}
    headers = {"content-type": PARQUET, "lengthwise-job": json.dumps(head)}
    answer = client.post("/v1/jobs", content=in_parquet(pa.table({"text": ["a"]})), headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, name)


@pytest.fixture
def several_targets(catalog: Path) -> None:
    """A model that translates into two languages."""
    catalog.write_text(catalog.read_text().replace('["zh", "en"]', '["zh", "en"], ["zh", "de"]'))


@pytest.mark.usefixtures("several_targets")
def test_columns_and_targets_become_one_row_again(client: TestClient, run_worker: RunWorker) -> None:
    head = {"kind": "translate", "source": "zh", "text_columns": ["title", "body"], "targets": ["en", "de"]}
    content = b"sku,title,body\na,abc,de\nb,,fg\n"
    job = post(client, content, "text/csv", head | {"id_column": "sku", "metadata_columns": ["sku"]})
    assert job["counts"]["total"] == 8
    assert job["table"] | {"format": 0} == {
        "format": 0, "delimiter": ",", "encoding": "utf-8", "text_columns": ["title", "body"], "targets": ["en", "de"],
    }  # fmt: skip
    run_worker()
    found = rows(client, job)
    assert [list(row.values())[:3] for row in found] == [["a", "abc", "de"], ["b", "", "fg"]]
    assert [(row["title.en"], row["title.de"], row["body.en"], row["body.de"]) for row in found] == [
        ("cba", "cba", "ed", "ed"),
        ("", "", "gf", "gf"),
    ]
    assert {row["body.de.status"] for row in found} == {"succeeded"}
    shown = lines(client, job)
    assert all("id" not in line for line in shown)
    assert [line["metadata"] for line in shown[2:5]] == [
        {"row": 0, "column": "body", "target": "en", "id": "a", "values": {"sku": "a"}},
        {"row": 0, "column": "body", "target": "de", "id": "a", "values": {"sku": "a"}},
        {"row": 1, "column": "title", "target": "en", "id": "b", "values": {"sku": "b"}},
    ]
    after = rows(client, job, after=4)
    assert [(row["sku"], row["body.en"], row["title.en.status"]) for row in after] == [("b", "gf", "")]
    fail(job, 3, 4)
    again = retry(client, job).json()
    assert again["table"] is None
    run_worker()
    assert [(row["metadata.row"], row["metadata.column"], row["metadata.target"]) for row in rows(client, again)] == [
        ("0", "body", "de"),
        ("1", "title", "en"),
    ]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_retry_has_the_rows_of_the_failed_items(
    client: TestClient, run_worker: RunWorker, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lengthwise.formats.source.BLOCK_ROWS", 10)
    texts = [f"t{at}" for at in range(35)]
    table = pa.table({"n": [str(at) for at in range(35)], "text": texts})
    content = "n,text\n" + "".join(f"{at},{text}\n" for at, text in enumerate(texts))
    sent = (content.encode(), "text/csv") if form == "csv" else (in_parquet(table), PARQUET)
    job = post(client, *sent, HEAD)
    run_worker()
    fail(job, 3, 19, 20, 34)
    again = retry(client, job).json()
    run_worker()
    assert [(row["n"], row["text"], row["output.text"]) for row in rows(client, again)] == [
        (str(at), f"t{at}", f"t{at}"[::-1]) for at in (3, 19, 20, 34)
    ]
    fail(again, 1, 3)
    thrice = retry(client, again).json()
    assert thrice["table"]["format"] == form
    assert [row["n"] for row in rows(client, thrice)] == []
    run_worker()
    assert [row["n"] for row in rows(client, thrice)] == ["19", "34"]


def test_the_results_so_far_come_beside_their_rows(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.jobs.download._PAGE", 70)
    monkeypatch.setattr("lengthwise.formats.source.BLOCK_ROWS", 33)
    content = "text,n\n" + "".join(f"{'x' * (at % 90 + 1)},{at}\n" for at in range(400))
    job = post(client, content.encode(), "text/csv", HEAD)
    assert rows(client, job) == []
    work_a_little(client, job["id"])
    some = rows(client, job)
    assert 0 < len(some) < 400
    client.post(job["links"]["cancel"])
    every = rows(client, job)
    assert [row["n"] for row in every] == [str(at) for at in range(400)]
    assert all(len(row["text"]) == int(row["n"]) % 90 + 1 == len(row["text"]) for row in some + every)
    done = {row["n"] for row in some}
    assert {row["n"] for row in every if row["status"] == "succeeded"} == done


def test_the_rows_of_a_table_are_deleted_with_its_job(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lengthwise.formats.source.BLOCK_ROWS", 2)
    job = post(client, b"text\na\nb\nc\n", "text/csv", HEAD)
    assert sql("SELECT first, n_rows FROM source_blocks ORDER BY first") == [(0, 2), (2, 1)]
    client.delete(job["links"]["self"])
    sweep()
    assert sql("SELECT count(*) FROM source_blocks") == [(0,)]
    assert "source_blocks" in metadata.tables


def test_a_table_of_a_job_that_was_no_table_is_as_ever(client: TestClient, run_worker: RunWorker) -> None:
    job = post(client, b'{"kind":"generate"}\n{"id":"a","text":"abc"}\n', "application/x-ndjson")
    run_worker()
    assert list(rows(client, job)[0])[:3] == ["index", "id", "status"]
    assert rows(client, job) == rows(client, job, columns="results")


def test_blank_texts_succeed_with_blank_results(client: TestClient, run_worker: RunWorker) -> None:
    body = b'{"kind":"generate"}\n{"text":""}\n""\n"abc"\n'
    job = post(client, body, "application/x-ndjson")
    translated = post(client, b'{"kind":"translate","source":"zh","target":"en","items":["", " ", "\\n", "a"]}',
                      "application/json")  # fmt: skip
    run_worker()
    assert [line["output"]["text"] for line in lines(client, job)] == ["", "", "cba"]
    assert {line["status"] for line in lines(client, job) + lines(client, translated)} == {"succeeded"}
    assert [line["output"]["text"].strip() for line in lines(client, translated)] == ["", "", "", "a"]
    assert [read_job(client, each["id"])["warnings"]["blank"] for each in (job, translated)] == [2, 3]


def test_a_large_table_is_kept_in_small_blocks() -> None:
    assert source.BLOCK_ROWS <= 1000
    assert source.BLOCK_BYTES <= 2**20


@pytest.mark.parametrize("name", sorted(set(BOMBS) - {"names"}))
def test_a_parquet_bomb_is_a_413_and_writes_nothing(client: TestClient, name: str) -> None:
    headers = {"content-type": PARQUET, "lengthwise-job": json.dumps(HEAD)}
    answer = client.post("/v1/jobs", content=BOMBS[name](100), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["field"] in ("row 1", "body")
    assert client.get("/v1/jobs").json()["data"] == []
