"""The fields that filters of webhooks may name: those that some result can have, and no others."""

import json
from pathlib import Path

import pytest
from pydantic_core import from_json

from lengthwise import result_field
from lengthwise.errors import InvalidInput
from lengthwise.kinds import KINDS, result_fields, result_line
from lengthwise.kinds.kind import TextItem
from lengthwise.models.catalog import Catalog
from lengthwise.webhooks.condition import parse
from tests.fakes import write_catalog
from tests.kind_package import write_kind
from tests.unit.kinds.kind_calls import leaves


def catalog(folder: Path, labels: object = None, options: str = "", more: str = "") -> Catalog:
    """The echoing model, which serves moderate too and has these labels."""
    path = write_catalog(folder, **({} if labels is None else {"id2label": labels}))  # type: ignore[arg-type]
    path.write_text(path.read_text() + f"[models.echo.moderate]\n{options}\n{more}")
    return Catalog.read(path)


@pytest.fixture
def served(tmp_path: Path) -> Catalog:
    return catalog(tmp_path, {"0": "harmless", "1": "spam", "2": "S1: violence"}, 'harmless = ["harmless"]')


def refusal(text: str, served: Catalog) -> str:
    with pytest.raises(InvalidInput) as raised:
        parse(text, result_fields.known(served))
    assert raised.value.field == "filter"
    return str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "flagged == true",
        "output.flagged == true",
        "scores.spam > 0.5",
        'categories."S1: violence" == true',
        'scores."hate/threatening" >= 0.5 or scores.violence > 0.5',
        'finish_reason == "length"',
        'text != ""',
        "score < -3",
        'message.content == "yes"',
        'message.role == "assistant"',
        "embedding != null",
        'status == "failed"',
        'error.code == "too_long"',
        'error.message != ""',
        "error != null",
        "output == null",
        "index < 100",
        'id == "a"',
        "metadata.anything == 1",
        'metadata."any thing"."at any depth" == 1',
        "usage.output_tokens > 100",
        'model_revision == "x"',
        'warnings != null and "copied" in warnings',
        'custom_id == "a"',
        "response.status_code == 200",
        "scores != null",
    ],
)
def test_a_field_that_a_result_can_have_is_accepted(text: str, served: Catalog) -> None:
    parse(text, result_fields.known(served))


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("flaged == true", "at character 1; did you mean flagged"),
        ("output.flaged == true", "at character 1; did you mean flagged"),
        ("flagged == true and Flagged == true", "at character 21; did you mean flagged"),
        ("score.spam > 0.5", "did you mean scores.spam"),
        ("scores.spamm > 0.5", "did you mean scores.spam"),
        ("scores.harmless > 0.5", "did you mean scores.h"),
        ('scores."S1 violence" > 0.5', 'did you mean scores."S1: violence"'),
        ("scores.spam.high > 0.5", "did you mean scores.spam"),
        ("finish_raeson == null", "did you mean finish_reason"),
        ('error_code == "too_long"', "did you mean error.code"),
        ('error.kode == "too_long"', "did you mean error.code"),
        ("usage.input > 5", "did you mean usage.input_tokens"),
        ("status.code == 1", "did you mean status"),
        ("flagged.yes == true", "did you mean flagged"),
        ("Metadata.page == 1", "did you mean metadata"),
        ('"copied" in warning', "did you mean warnings"),
        ('"copied" in output.warnings', "did you mean warnings"),
        ("(index == 1 or (flagged == true and translation == null))", "at character 37; "),
        ('"" == 1', "known are custom_id, embedding, "),
        ("qqqqqqqqqqqqqqqq == 1", "known are custom_id, embedding, "),
    ],
)
def test_a_field_that_no_result_can_have_is_refused_with_those_that_are_like_it(
    text: str, advice: str, served: Catalog
) -> None:
    message = refusal(text, served)
    assert message.startswith("names a field that no result has, at character ")
    assert advice in message


def test_what_was_sent_is_not_repeated(served: Catalog) -> None:
    assert "secret" not in refusal("flagged.secret == true", served)
    assert "secret" not in refusal('secret == "secret"', served)


@pytest.mark.parametrize("labels", [None, ["spam"], "spam", {}])
def test_any_label_is_accepted_if_a_model_does_not_name_its_own(labels: object, tmp_path: Path) -> None:
    served = catalog(tmp_path, labels)
    parse("scores.anything > 0.5 and categories.anything == true", result_fields.known(served))
    refusal("flaged == true", served)


def test_any_label_is_accepted_if_no_model_moderates_or_its_folder_is_missing(tmp_path: Path) -> None:
    parse("scores.anything > 0.5", result_fields.known(Catalog.read(write_catalog(tmp_path / "a"))))
    gone = '[models.gone]\npath = "gone"\n[models.gone.moderate]\n'
    served = catalog(tmp_path / "b", {"0": "spam"}, more=gone)
    parse("scores.anything > 0.5", result_fields.known(served))


def test_any_output_is_accepted_if_a_kind_does_not_declare_its_own(
    served: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write_kind(tmp_path / "site"))
    parse("melody.key == 1", result_fields.known(served))
    assert "did you mean usage.input_tokens" in refusal("usage.input_token == 1", served)


def test_every_field_of_a_result_line_is_known() -> None:
    item = TextItem(id="a", text="b", metadata={"c": {"d": 1}})
    lines = [
        result_line.succeeded(0, item, {}, 1, 2, b'"r"'),
        result_line.failed(0, item, "too_long"),
    ]
    for line in lines:
        found = from_json(line)
        found.pop("output", None)
        assert all(result_field.is_known(path, result_field.OF_RESULTS) for path in leaves(found)), line


def test_our_own_kinds_declare_their_outputs(served: Catalog) -> None:
    assert [name for name in KINDS if KINDS[name].output_fields(served.serving(name)) is None] == []
    assert json.loads((served.models["echo"].folder / "config.json").read_text())["id2label"]["1"] == "spam"
