"""Lines of a batch's file: every mistake is found, and no error repeats the line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.openai.line_reader import LineError, LineReader, split
from lengthwise.models.catalog import Catalog
from lengthwise.settings import Settings
from tests.fakes import CATALOG, write_config, write_echo_model

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
