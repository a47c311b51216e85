"""No error names what a caller named: an error's field is one of the form's own."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from api import problem
from api.app import ROUTERS
from api.http.identifier import identifier
from api.jobs.schema import JOB_FORMS
from api.openai.schema import BatchMetadata, NewBatch
from lengthwise.errors import NotFound
from lengthwise.kinds.kind import StrictModel
from lengthwise.kinds.openai import ENDPOINTS

CANARY = "ZZSECRETKEY"


def subclasses(form: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in form.__subclasses__():
        yield each
        yield from subclasses(each)


FORMS = sorted({*subclasses(StrictModel), *JOB_FORMS.values()}, key=lambda form: form.__name__)


def checked_dicts(schema: Any, is_wrapped: bool = False) -> Iterator[dict[str, Any]]:
    """Mappings whose errors would have the caller's names in their path."""
    if isinstance(schema, list | tuple):
        for part in schema:
            yield from checked_dicts(part, is_wrapped)
    elif isinstance(schema, dict):
        kind = schema.get("type")
        checked = [schema.get(part, {}).get("type", "any") for part in ("keys_schema", "values_schema")]
        if kind == "dict" and not is_wrapped and set(checked) - {"any", "str"}:
            yield schema
        for name, part in schema.items():
            if name not in ("serialization", "metadata"):
                yield from checked_dicts(part, is_wrapped or kind == "function-wrap")


def test_the_forms_are_found() -> None:
    assert ROUTERS
    assert ENDPOINTS
    assert len(FORMS) > 20
    assert NewBatch in FORMS


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_no_form_checks_the_values_of_a_mapping_without_hiding_their_names(form: type[BaseModel]) -> None:
    assert not list(checked_dicts(form.__pydantic_core_schema__))


@pytest.mark.parametrize(
    "value",
    [
        {CANARY: 5},
        {CANARY: None},
        {CANARY: {CANARY: 1}},
        {CANARY: "x" * 513},
        {CANARY * 10: "x"},
        {f"{CANARY}\x00": "x"},
        {CANARY: "\x00"},
        {f"{CANARY}{number}": "x" for number in range(17)},
        [CANARY],
        CANARY,
    ],
)
def test_a_batch_s_metadata_is_refused_without_its_names(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        NewBatch.model_validate({"input_file_id": "x", "endpoint": "x", "completion_window": "1h", "metadata": value})
    refused = problem.invalid(caught.value)
    assert refused.field == "metadata"
    assert CANARY not in json.dumps([str(refused), refused.field])


def test_good_metadata_is_kept() -> None:
    good = {f"name {number}": "text" * 128 for number in range(16)}
    assert TypeAdapter(BatchMetadata).validate_python(good) == good


SHOWN = "0198c0de-0a0b-4c0d-8e0f-a1b2c3d4e5f6"


def test_an_id_is_read_as_it_is_shown() -> None:
    assert str(identifier(SHOWN)) == SHOWN


@pytest.mark.parametrize(
    "spelled",
    [
        SHOWN.upper(),
        SHOWN.replace("-", ""),
        f"{{{SHOWN}}}",
        f"urn:uuid:{SHOWN}",
        f" {SHOWN}",
        f"{SHOWN}\n",
        f"{SHOWN[:8]}{SHOWN[9:]}-",
        SHOWN.replace("-", "--"),
        SHOWN.replace("1", "١"),
        SHOWN.replace("a", "а"),
        f"0x{SHOWN[2:]}",
        "",
        "nil",
    ],
)
def test_any_other_spelling_of_an_id_names_nothing(spelled: str) -> None:
    with pytest.raises(NotFound) as caught:
        identifier(spelled)
    assert str(caught.value) == "there is no such job"
