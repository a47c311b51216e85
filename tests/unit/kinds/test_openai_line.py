"""Lines of a batch's file: every mistake is found, and no error repeats the line."""

import json
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.openai.line_reader import BodyReader, LineError, LineReader, split
from lengthwise.confined import Confined, OverBudget
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.models.catalog import Catalog
from lengthwise.settings import Settings
from tests.fakes import CATALOG, write_config, write_echo_model
from tests.servers import wait_until
from tests.unit.kinds.test_schemas import chain

LIMIT = 40


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder: Path = tmp_path_factory.mktemp("model")
    (write_echo_model(folder / "echo") / "chat_template.jinja").write_text("{{ messages[0].content }}")
    write_config(folder / "classifier", "BertForSequenceClassification", id2label={"0": "hate"})
    more = '[models.classifier]\npath = "classifier"\n[models.classifier.moderate]\n'
    (folder / "models.toml").write_text(CATALOG + "[models.echo.chat]\n" + more)
    return Catalog.read(folder / "models.toml")


@given(content=st.binary(max_size=400).map(lambda data: data.replace(b"\x00", b"\n")), data=st.data())
def test_lines_are_the_same_however_the_file_is_cut(content: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    blocks = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    expected = [
        (number, line if len(line) <= LIMIT else None)
        for number, line in enumerate(content.split(b"\n"), 1)
        if len(line) > LIMIT or (line and not line.isspace())
    ]
    assert list(split(blocks, LIMIT)) == expected


def line(**more: Any) -> dict[str, Any]:
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
    return {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body, **more}


def chat_line(**more: Any) -> dict[str, Any]:
    return line(body=line()["body"] | more)


@pytest.mark.parametrize(
    ("line_object", "code", "param"),
    [
        (line(custom_id=None), "invalid_request", "custom_id"),
        (line(custom_id="x" * 600), "invalid_request", "custom_id"),
        (line(CaNaRy=1), "invalid_request", None),
        (line(method="CaNaRy"), "invalid_request", "method"),
        (line(url="CaNaRy"), "url_mismatch", "url"),
        (line(body="CaNaRy"), "invalid_request", "body"),
        (line(body={}), "invalid_request", "model"),
        (chat_line(model="CaNaRy"), "model_not_found", "model"),
        (chat_line(CaNaRy=1), "invalid_request", "body"),
        (chat_line(messages=[{"role": "CaNaRy", "content": "x"}]), "invalid_request", "messages[0].role"),
        (chat_line(messages=[{"role": "user", "content": 7}]), "invalid_request", "messages[0].content"),
        (chat_line(messages=[{"role": "user", "content": [{"type": "CaNaRy"}]}]), "invalid_request",
         "messages[0].content[0].type"),
        (chat_line(messages=[{"role": "user", "content": "x", "tool_calls": [1]}]), "invalid_request",
         "messages[0].tool_calls"),
        (chat_line(stream=True), "invalid_request", "stream"),
        (chat_line(n=2), "invalid_request", "n"),
        (chat_line(tools=[{"type": "function"}]), "invalid_request", "tools"),
        (chat_line(temperature=3), "invalid_request", "temperature"),
        (chat_line(stop=["", "a"]), "invalid_request", "stop[0]"),
        (chat_line(response_format={"type": "CaNaRy"}), "invalid_request", "response_format"),
        (chat_line(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 1}}}),
         "invalid_request", "response_format.json_schema.schema"),
    ],
)  # fmt: skip
def test_an_error_names_the_field_that_is_wrong(
    catalog: Catalog, line_object: Any, code: str, param: str | None
) -> None:
    reader = LineReader("/v1/chat/completions", catalog, Settings())
    with pytest.raises(LineError) as mistake:
        reader.read(json.dumps(line_object).encode())
    assert (mistake.value.code, mistake.value.param) == (code, param)
    assert "canary" not in f"{mistake.value} {mistake.value.param}".lower()


@pytest.mark.parametrize(
    "more",
    [
        {"n": 1, "stream": False, "logprobs": None, "presence_penalty": 0, "tools": [], "tool_choice": "none"},
        {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "max_tokens": None},
        {"response_format": {"type": "text"}},
    ],
)
def test_an_unsupported_field_is_accepted_if_its_value_changes_nothing(catalog: Catalog, more: dict[str, Any]) -> None:
    LineReader("/v1/chat/completions", catalog, Settings()).read(json.dumps(chat_line(**more)).encode())


def test_a_moderation_may_leave_out_its_model(catalog: Catalog) -> None:
    reader = LineReader("/v1/moderations", catalog, Settings())
    request = reader.read(json.dumps(line(url="/v1/moderations", body={"input": "x"})).encode())
    assert request.spec.name == "classifier"


def with_schema(schema: dict[str, Any], name: str) -> bytes:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return json.dumps(chat_line(response_format=form) | {"custom_id": name}).encode()


def costly(number: object) -> dict[str, Any]:
    """A schema that is accepted, but takes long to compile, and is not known yet."""
    return {"title": f"CaNaRy {number} {uuid4()}", **chain(9), "unevaluatedProperties": False}


def test_all_schemas_of_a_file_share_an_allowance(catalog: Catalog) -> None:
    reader = LineReader("/v1/chat/completions", catalog, Settings(schema_seconds=0.2))
    mistakes = []
    for number in range(400):
        try:
            reader.read(with_schema(costly(number), str(number)))
        except LineError as error:
            mistakes.append(error)
    assert 0 < len(mistakes) < 400, "the first ones are accepted"
    assert {(each.code, each.param) for each in mistakes} == {("invalid_request", "response_format.json_schema.schema")}
    assert {str(each) for each in mistakes} == {"needs more time than the schemas of one file may take: 0.2 s in all"}
    spent = time.process_time()
    for number in range(400, 600):
        with pytest.raises(LineError):
            reader.read(with_schema(costly(number), str(number)))
    assert time.process_time() - spent < 5, "what is refused costs nothing but its reading"
    other = LineReader("/v1/chat/completions", catalog, Settings(schema_seconds=0.2))
    other.read(with_schema(costly("another file"), "a"))


def test_a_schema_that_comes_again_costs_a_file_nothing(catalog: Catalog) -> None:
    again = costly("again")
    LineReader("/v1/chat/completions", catalog, Settings()).read(with_schema(again, "a"))
    reader = LineReader("/v1/chat/completions", catalog, Settings(schema_seconds=1e-9))
    reader.read(with_schema({"title": str(uuid4())}, "the first one"))
    for number in range(20):
        reader.read(with_schema(again, str(number)))
    with pytest.raises(LineError):
        reader.read(with_schema({"title": str(uuid4())}, "a new one"))


def test_schemas_beyond_their_own_budget_count_in_full(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bytes:
        raise OverBudget("time")

    monkeypatch.setattr(Confined, "call", fails)
    reader = LineReader("/v1/chat/completions", catalog, Settings(schema_seconds=1))
    errors = []
    for number in range(20):
        with pytest.raises(LineError) as caught:
            reader.read(with_schema({"title": str(uuid4())}, str(number)))
        errors.append(str(caught.value))
    assert 5 <= errors.count("needs too much time or memory to check") <= 10
    assert errors[-1].startswith("needs more time than the schemas of one file may take")


def test_others_schemas_are_compiled_while_a_file_of_costly_ones_is_read(catalog: Catalog) -> None:
    reader, is_over, n_read = LineReader("/v1/chat/completions", catalog, Settings()), Event(), list[int]()

    def read() -> None:
        while not is_over.is_set():
            reader.read(with_schema(costly(len(n_read)), str(len(n_read))))
            n_read.append(1)

    reading = Thread(target=read)
    reading.start()
    wait_until(lambda: len(n_read) > 3)
    try:
        waits = []
        for number in range(20):
            began = time.monotonic()
            single = BodyReader(ENDPOINTS["/v1/chat/completions"], catalog, Settings())
            single.request("one", json.loads(with_schema({"title": str(uuid4())}, str(number)))["body"])
            waits.append(time.monotonic() - began)
    finally:
        is_over.set()
        reading.join()
    assert sorted(waits)[10] < 1
