"""An estimate is read and checked as a submission, says what the submission then has, and writes nothing."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from starlette.testclient import TestClient

from tests import servers as real
from tests.integration import refusal
from tests.integration.access import keys
from tests.integration.conftest import serving, submit

PATH = "/v1/jobs/estimate"
GENERATE: dict[str, Any] = {"kind": "generate"}
#: A pool of another width, and the kinds that the catalog's model serves.
HEADS = [GENERATE, {"kind": "translate", "source": "zh", "target": "en", "beams": 2}]
#: Texts of up to 530 tokens, of which the model reads 512.
TEXTS = st.text("ab c", max_size=30) | st.integers(500, 530).map(lambda number: "x" * number)

FIGURES = """
SELECT n_items, n_tokens, n_arrival_padded,
       (SELECT count(*) FROM shards WHERE job_id = jobs.id AND state = 'ready' AND hi > lo),
       (SELECT coalesce(sum(n_failed), 0) FROM shards WHERE job_id = jobs.id)
FROM jobs WHERE id = :job
"""


def figures(client: TestClient, job_id: str) -> tuple[int, ...]:
    """A submitted job's items, tokens, padding, shards to run, and items that failed at once."""
    with client.app.state.shared.database.begin() as connection:  # type: ignore[attr-defined]
        return tuple(connection.execute(text(FIGURES), {"job": UUID(job_id)}).one())


def same_figures(found: dict[str, Any]) -> tuple[int, ...]:
    names = ("items", "input_tokens", "padded_tokens_arrival_order", "shards", "failing_items")
    return tuple(found[name] for name in names)


def estimate(client: TestClient, body: dict[str, Any], **query: int) -> dict[str, Any]:
    answer = client.post(PATH, json=body, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@settings(max_examples=60)
@given(head=st.sampled_from(HEADS), items=st.lists(TEXTS, min_size=1, max_size=40))
def test_an_estimate_equals_what_the_submission_then_has(
    strict: TestClient, head: dict[str, Any], items: list[str]
) -> None:
    body = head | {"items": items}
    estimated, made = strict.post(PATH, json=body), strict.post("/v1/jobs", json=body)
    if made.status_code != 202:
        assert (estimated.status_code, estimated.json()) == (made.status_code, made.json())
        return
    found = estimated.json()
    assert same_figures(found) == figures(strict, made.json()["id"])
    assert found["measured_items"] == found["items"] == len(items)
    if head is GENERATE:  # whose items are one sequence each
        assert found["input_tokens"] <= found["padded_tokens"]


def bodies() -> dict[str, tuple[bytes, dict[str, str]]]:
    table, head = io.BytesIO(), json.dumps(GENERATE)
    pq.write_table(pa.table({"text": ["abc", "x" * 40]}), table)
    ndjson = json.dumps(GENERATE).encode() + b'\n{"text":"abc"}\n"' + b"x" * 40 + b'"\n'
    columns = {"kind": "translate", "source": "zh", "target": "en", "text_columns": ["title", "body"]}
    return {
        "ndjson": (ndjson, {"content-type": "application/x-ndjson"}),
        "zstd": (zstandard.compress(ndjson), {"content-type": "application/x-ndjson", "content-encoding": "zstd"}),
        "csv": (b"text\nabc\n" + b"x" * 40, {"content-type": "text/csv", "lengthwise-job": head}),
        "columns": (
            b"title,body\nabc,d\nxy,z\n",
            {"content-type": "text/csv", "lengthwise-job": json.dumps(columns)},
        ),
        "parquet": (
            table.getvalue(),
            {"content-type": "application/vnd.apache.parquet", "lengthwise-job": head},
        ),
    }


@pytest.mark.parametrize("form", bodies())
def test_every_format_is_estimated_as_it_is_submitted(client: TestClient, form: str) -> None:
    content, headers = bodies()[form]
    estimated, made = (client.post(path, content=content, headers=headers) for path in (PATH, "/v1/jobs"))
    assert made.status_code == 202, made.text
    assert same_figures(estimated.json()) == figures(client, made.json()["id"])


def test_nothing_is_written(client: TestClient) -> None:
    before = refusal.rows(client)
    body = GENERATE | {"items": ["abc"] * 90, "webhook": {"url": "https://8.8.8.8/"}}
    answer = client.post(PATH, json=body, headers={"idempotency-key": "a"})
    assert answer.status_code == 200, answer.text
    assert refusal.rows(client) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "nonsense", "items": ["x"]},
        {"kind": "generate", "items": []},
        {"kind": "generate", "items": ["x", 3]},
        {"kind": "generate", "items": ["x" * 600]},
        {"kind": "generate", "items": ["x"], "model": "nobody's"},
        {"kind": "generate", "items": ["x"], "deadline": "2001-01-31T12:00:00Z"},
        {"kind": "generate", "items": ["x"], "webhook": {"url": "http://127.0.0.1/"}},
        {"kind": "generate", "items": [{"text": "x", "id": "a"}, {"text": "y", "id": "a"}]},
        {"kind": "translate", "source": "zh", "target": "xx", "items": ["x"]},
        {"kind": "generate", "items": ["x"] * 101},
    ],
)
def test_what_a_submission_refuses_an_estimate_refuses_in_the_same_words(
    strict: TestClient, wrong: dict[str, Any]
) -> None:
    estimated, made = (strict.post(path, json=wrong) for path in (PATH, "/v1/jobs"))
    assert made.status_code >= 400
    assert (estimated.status_code, estimated.json()) == (made.status_code, made.json())


def test_a_key_that_may_not_submit_may_not_estimate(client: TestClient) -> None:
    key = keys.new_key(client, "read")["key"]
    assert keys.ask(client, key, "POST", PATH, json=GENERATE | {"items": ["x"]}).status_code == 403


def test_a_sample_stands_for_the_whole_job(client: TestClient) -> None:
    items = ["abc", "x" * 600] * 5
    whole = estimate(client, GENERATE | {"items": items})
    assert same_figures(whole) == (10, 15, 15, 1, 5)
    of_thousand = estimate(client, GENERATE | {"items": items}, n_items=1_000)
    assert (of_thousand["items"], of_thousand["measured_items"]) == (1_000, 10)
    assert same_figures(of_thousand) == (1_000, 1_500, 1_500, 100, 500)
    first_four = estimate(client, GENERATE | {"items": items}, sample=4)
    assert (first_four["items"], first_four["measured_items"]) == (10, 4)
    assert same_figures(first_four) == (10, 15, 15, 3, 5)
    more = estimate(client, GENERATE | {"items": items}, sample=4, n_items=20)
    assert same_figures(more)[:2] == (20, 30)
    assert estimate(client, GENERATE | {"items": items}, sample=100) == whole


def test_what_a_sample_leaves_out_is_counted_and_not_read(client: TestClient) -> None:
    items: list[Any] = ["abc", "de", {"no such field": 1}]
    assert client.post(PATH, json=GENERATE | {"items": items}).status_code == 422
    assert estimate(client, GENERATE | {"items": items}, sample=2)["items"] == 3


def test_a_sample_of_which_nothing_can_run_refuses_no_job(client: TestClient) -> None:
    found = estimate(client, GENERATE | {"items": ["x" * 600] * 3}, n_items=10)
    assert (found["failing_items"], found["input_tokens"], found["shards"]) == (10, 0, 0)


@pytest.mark.parametrize(
    ("query", "field"), [({"n_items": 1}, "n_items"), ({"n_items": 0}, "n_items"), ({"sample": 0}, "sample")]
)
def test_a_size_that_cannot_be_is_refused(client: TestClient, query: dict[str, int], field: str) -> None:
    answer = client.post(PATH, json=GENERATE | {"items": ["x", "y"]}, params=query)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_a_sample_is_of_no_more_items_than_a_job_may_have(strict: TestClient) -> None:
    refused = strict.post(PATH, json=GENERATE | {"items": ["x"] * 101}, params={"sample": 3})
    assert (refused.status_code, refused.json()["field"]) == (413, "items")
    [named] = estimate(strict, GENERATE | {"items": ["x"]}, n_items=101)["refusals"]
    assert named == {"status": 413, "detail": "a job may have at most 100 items", "retry_after": None}


class TestRefusals:
    @pytest.fixture
    def full(self, servers: real.Urls, tmp_path: Path) -> Iterator[TestClient]:
        """An API on which a tenant may have one token waiting."""
        with serving(servers, tmp_path, max_tenant_pending_tokens=1) as client:
            yield client

    def test_a_limit_on_waiting_tokens_is_named_as_a_submission_would_name_it(self, full: TestClient) -> None:
        body = GENERATE | {"items": ["abc"]}
        assert estimate(full, body)["refusals"] == []
        submit(full, ["abc"])
        refused = full.post("/v1/jobs", json=body)
        assert refused.status_code == 429
        [named] = estimate(full, body)["refusals"]
        assert (named["status"], named["detail"]) == (429, refused.json()["detail"])
        assert named["retry_after"] == int(refused.headers["retry-after"])

    def test_a_limit_on_open_jobs_is_named(self, client: TestClient) -> None:
        key = keys.new_key(client, "submit", tenant=keys.new_tenant(client, max_open_jobs=1))["key"]
        body = GENERATE | {"items": ["abc"]}
        assert keys.ask(client, key, "POST", PATH, json=body).json()["refusals"] == []
        assert keys.ask(client, key, "POST", json=body).status_code == 202
        [named] = keys.ask(client, key, "POST", PATH, json=body).json()["refusals"]
        assert (named["status"], named["detail"]) == (429, "you have 1 or more open jobs, which is the limit")
