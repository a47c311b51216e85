"""Wrong fields: a 422 that names them, writes no row and repeats nothing; also bad paths, methods and parameters."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.conftest import submit
from tests.integration.refusal import CANARY, RefusalProbe, refusals

__all__ = ["refusals"]

NUL = f"{CANARY}\x00"
SOON = datetime.now(UTC) + timedelta(days=1)
LATER = SOON + timedelta(days=40)
TRANSLATE = {"kind": "translate", "source": "zh", "target": "en"}


def each(name: str, *values: Any) -> list[tuple[dict[str, Any], str]]:
    """A valid job with this one field changed, and the field that the error names."""
    return [({name: value}, name) for value in values]


FIELDS: list[tuple[dict[str, Any], str]] = [
    *each("kind", CANARY, NUL, "x" * 41, "", "Generate", "moderate", 5, [CANARY], None, {}),
    *each("model", CANARY, NUL, "", "x" * 201, 5, [CANARY]),
    *each("priority", CANARY, "Normal", 1, None, ["normal"]),
    *each("deadline", CANARY, "", "2031-01-31", "2031-01-31T12:00:00", "2020-01-01T00:00:00Z", LATER.isoformat()),
    *each("deadline", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2031-13-01T00:00:00Z", NUL),
    *each("deadline", SOON.timestamp(), int(SOON.timestamp()), str(int(SOON.timestamp())), -1, True, [CANARY], {}),
    *each("temperature", "1", -0.1, 2.1, True, None, [0]),
    *each("top_p", 0, 1.1, CANARY),
    *each("top_k", -1, 1.0, 1.5, 2**31, CANARY),
    *each("repetition_penalty", 0, -1, 0.001, 2.1, "1", True, CANARY),
    *each("seed", -1, 2**31, 10**30, CANARY),
    *each("max_new_tokens", 0, "5", 1.0, True),
    *each("stop", CANARY, ["a"] * 5, {}),
    *[({"stop": ["a", value]}, "stop[1]") for value in ("", NUL, "x" * 65, 5, None, [CANARY])],
    *[({name: 1}, "job") for name in (CANARY, "", "text", "source", "threshold", "__class__", NUL, "x" * 10_000)],
    *each("items", [], {}, {CANARY: 1}, CANARY, None, 5, True),
    ({**TRANSLATE, "source": "xx"}, "target"),
    ({**TRANSLATE, "source": CANARY}, "target"),
    ({**TRANSLATE, "target": "zh"}, "target"),
    ({**TRANSLATE, "source": "z"}, "source"),
    ({**TRANSLATE, "target": 5}, "target"),
    ({**TRANSLATE, "target": "x" * 17}, "target"),
    ({**TRANSLATE, "stop": [CANARY]}, "job"),
    *[({**TRANSLATE, "beams": value}, "beams") for value in (0, 9, -1, 2.0, "2", True, None, [CANARY])],
    ({**TRANSLATE, "beams": 2, "temperature": 0.5}, "job"),
    ({"beams": 2}, "job"),
]


def of_item(name: str, *values: Any) -> list[tuple[Any, str]]:
    return [({"text": "x", name: value}, f".{name}") for value in values]


ITEMS: list[tuple[Any, str]] = [
    *zip([None, 5, 1.5, True, [], [CANARY], {"text": CANARY, CANARY: 1}, {"": 1, "text": "x"}], [""] * 8, strict=True),
    *zip([{}, NUL], [".text"] * 2, strict=True),
    *of_item("text", 5, None, [CANARY], NUL),
    *of_item("id", "", NUL, "x" * 257, 5, [CANARY], {}, "twice"),
    *of_item("metadata", CANARY, [CANARY], 5),
    ({"text": "x", "source": "zh"}, ""),
]


def shown(value: Any) -> str:
    """A value in a test's id. Times are masked, because every process of the suite must name its tests alike."""
    return re.sub(r"\d{4}-\d\d-\d\dT[^']*|\d{10}[.\d]*", "time", repr(value))[:40].replace("\x00", "0")


@pytest.mark.parametrize(("change", "field"), FIELDS, ids=shown)
def test_a_wrong_field_of_a_job_is_named(refusals: RefusalProbe, change: dict[str, Any], field: str) -> None:
    job = {"kind": "generate", "items": [CANARY]} | change
    assert refusals.of_job(job) == (422, field, None)


@pytest.mark.parametrize("name", ["kind", "items"])
def test_a_missing_field_is_named(refusals: RefusalProbe, name: str) -> None:
    job = {"kind": "generate", "items": [CANARY]}
    del job[name]
    assert refusals.of_job(job) == (422, name, None)


@pytest.mark.parametrize(("item", "field"), ITEMS, ids=shown)
def test_a_wrong_item_is_named_with_its_index(refusals: RefusalProbe, item: Any, field: str) -> None:
    items = ["good", {"text": "good", "id": "twice"}, item, "good"]
    assert refusals.of_job({"kind": "generate", "items": items}) == (422, f"items[2]{field}", 2)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"source": CANARY}, "target"),
        ({"target": "xx"}, "target"),
        ({"source": "z"}, "source"),
        ({"target": 5}, "target"),
    ],
    ids=shown,
)
def test_an_items_wrong_language_is_named(refusals: RefusalProbe, item: dict[str, Any], field: str) -> None:
    job = {**TRANSLATE, "items": ["good", {"text": CANARY} | item]}
    assert refusals.of_job(job) == (422, f"items[1].{field}", 1)


@pytest.mark.parametrize(
    ("given", "missing"), [({}, "source"), ({"source": "zh"}, "target"), ({"target": "en"}, "source")]
)
def test_a_language_that_neither_job_nor_item_names_is_an_error(
    refusals: RefusalProbe, given: dict[str, str], missing: str
) -> None:
    job = {"kind": "translate", **given, "items": [{"text": CANARY}]}
    assert refusals.of_job(job) == (422, f"items[0].{missing}", 0)


def test_numbers_out_of_range_never_reach_a_result(refusals: RefusalProbe) -> None:
    for value in (b"1e999", b"-1e999", b'[[{"x": 1E400}]]', b"9" * 400 + b".0"):
        body = b'{"kind": "generate", "items": ["x", {"text": "CaNaRy", "metadata": {"CaNaRy": %s}}]}' % value
        assert refusals.of_job(body)[:2] in ((422, "items[1].metadata"), (413, "items[1].metadata"))
    assert refusals.of_job(b'{"kind": "generate", "items": ["x"], "temperature": 1e999}')[1] == "temperature"


def test_a_text_over_the_limit_of_characters_is_a_413(refusals: RefusalProbe) -> None:
    for item in ("我" * 2_001, {"text": CANARY * 400}):
        assert refusals.of_job({"kind": "generate", "items": ["x", item]}) == (413, "items[1].text", 1)
    assert refusals.of_job({"kind": "generate", "items": [{"text": "x", "metadata": {CANARY: "x" * 90}}]})[0] == 413


def test_a_single_text_longer_than_the_models_context_is_a_422(refusals: RefusalProbe) -> None:
    assert refusals.of_job({"kind": "generate", "items": [CANARY * 100]}) == (422, "items[0]", 0)
    assert refusals.of_job({"kind": "generate", "items": ["x" * 512]}) == (422, "items[0]", 0)


def test_one_of_many_texts_that_is_too_long_fails_alone(strict: TestClient) -> None:
    job = submit(strict, ["x", "x" * 512, "x"])
    assert (job["counts"]["failed"], job["counts"]["pending"]) == (1, 2)


@pytest.mark.parametrize(
    "job_id", [CANARY, "1", "%00", "%ff", "a" * 5_000, "..%2F..", "我", "00000000-0000-0000-0000-00000000000g"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/results"), ("GET", "/deliveries"), ("POST", "/cancel")]
)
def test_a_malformed_id_is_a_404(refusals: RefusalProbe, method: str, path: str, job_id: str) -> None:
    assert refusals.of(method, f"/v1/jobs/{job_id}{path}")["status"] == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=-1", "limit=CaNaRy", "limit=1e1", "limit=", "limit=1&limit=CaNaRy"]
)
def test_a_bad_limit_is_named(refusals: RefusalProbe, query: str) -> None:
    problem = refusals.of("GET", f"/v1/jobs?{query}")
    assert (problem["status"], problem["field"]) == (422, "limit")


@pytest.mark.parametrize("after", ["", CANARY, "%00", "5", "00000000-0000-0000-0000-000000000001"])
def test_a_page_after_an_unknown_job_is_a_404(refusals: RefusalProbe, after: str) -> None:
    assert refusals.of("GET", f"/v1/jobs?after={after}")["status"] == 404


@pytest.mark.parametrize("after", ["-2", "2147483648", "9" * 5_000, CANARY, "1.5", "", "%00", "٣x"])
def test_a_bad_after_is_named(refusals: RefusalProbe, strict: TestClient, after: str) -> None:
    job = submit(strict, ["x"])
    problem = refusals.of("GET", f"{job['links']['results']}?after={after}")
    assert (problem["status"], problem["field"]) == (422, "after")


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/jobs/", f"/v1/jobs/{CANARY}/", f"/v1/{CANARY}", "//v1/jobs", f"/v1/jobs/1/{CANARY}"]
)
def test_an_unknown_path_is_a_404(refusals: RefusalProbe, path: str) -> None:
    assert refusals.of("GET", path)["status"] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/jobs"),
        (CANARY, "/v1/jobs"),
        ("DELETE", "/v1/models"),
        ("PATCH", "/v1/jobs/1"),
        ("GET", "/v1/jobs/1/cancel"),
        ("POST", "/healthz"),
    ],
)
def test_a_wrong_method_is_a_405(refusals: RefusalProbe, method: str, path: str) -> None:
    assert refusals.of(method, path, content=CANARY)["status"] == 405
