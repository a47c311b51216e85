"""Submission answers any bytes as documented: never with a 5xx, and a refused job never leaves a row."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.integration.refusal import rows

#: The only statuses of POST /v1/jobs while all servers are available.
DOCUMENTED = {202, 400, 413, 415, 422}

FORMS = st.sampled_from(["application/json", "application/x-ndjson"])

#: Words of valid requests, so that random input gets past the first check.
WORDS = st.sampled_from(
    ["kind", "items", "text", "id", "metadata", "model", "source", "target", "webhook", "url", "secret", "priority",
     "deadline", "stop", "seed", "generate", "translate", "echo", "zh", "en", "normal", "https://8.8.8.8/", "\x00", ""]
)  # fmt: skip

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)

GOOD: list[dict[str, Any]] = [
    {"kind": "generate", "items": ["abc", {"id": "a", "text": "d", "metadata": {"n": 1}}], "stop": ["x"], "seed": 3},
    {
        "kind": "translate",
        "source": "zh",
        "target": "en",
        "items": [{"text": "我", "source": "en", "target": "de"}, "b"],
    },
    {"kind": "generate", "model": "echo", "items": ["a"], "priority": "normal", "webhook": {"url": "https://8.8.8.8/"}},
]

examples: Callable[[Any], Any] = settings(
    max_examples=80,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def post(client: TestClient, content: bytes, form: str) -> None:
    before = rows(client)
    answer = client.post("/v1/jobs", content=content, headers={"content-type": form})
    assert answer.status_code in DOCUMENTED
    if answer.status_code == 202:
        taken = answer.json()["counts"]
        assert rows(client)["items"] == before["items"] + taken["total"]
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert rows(client) == before


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid request in which one value is replaced, left out or repeated."""
    request = json.loads(json.dumps(draw(st.sampled_from(GOOD))))
    place: Any = request
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                place[key] = draw(VALUES)
            case "remove":
                del place[key]
            case "add" if isinstance(place, dict):
                place[draw(WORDS)] = draw(VALUES)
            case _:
                place.append(draw(VALUES))
        return request


def as_lines(request: Any) -> bytes:
    """The same request as NDJSON, as far as it has a header and items."""
    if not isinstance(request, dict) or not isinstance(request.get("items"), list):
        return json.dumps(request).encode()
    head = {name: value for name, value in request.items() if name != "items"}
    return b"\n".join(json.dumps(line).encode() for line in (head, *request["items"]))


@examples
@given(content=st.binary(max_size=200), form=FORMS)
def test_any_bytes_get_an_answer(strict: TestClient, content: bytes, form: str) -> None:
    post(strict, content, form)


@examples
@given(value=VALUES, form=FORMS)
def test_any_json_gets_an_answer(strict: TestClient, value: Any, form: str) -> None:
    post(strict, json.dumps(value).encode(), form)


@examples
@given(request=mutated(), as_ndjson=st.booleans())
def test_any_mistake_in_a_valid_request_gets_an_answer(strict: TestClient, request: Any, as_ndjson: bool) -> None:
    if as_ndjson:
        post(strict, as_lines(request), "application/x-ndjson")
    else:
        post(strict, json.dumps(request).encode(), "application/json")


@examples
@given(request=st.sampled_from(GOOD), data=st.data())
def test_any_damaged_byte_gets_an_answer(strict: TestClient, request: Any, data: st.DataObject) -> None:
    content = bytearray(json.dumps(request, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    post(strict, bytes(content), "application/json")
