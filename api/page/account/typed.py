"""What was typed into a form, checked by the types of the API's own bodies."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from api.http.form import Fields
from api.problem import invalid
from lengthwise.errors import InvalidInput
from lengthwise.kinds.kind import RequestPart

#: More than any number that the API takes.
_MAX_DIGITS = 30

Body = TypeVar("Body", bound=RequestPart)


def text(given: Fields, name: str) -> str:
    """The first value of this field, without blanks around it; empty if there is none."""
    return given.get(name, [""])[0].strip()


def number(given: Fields, name: str) -> int | float | None:
    """The number in this field, as JSON has it; None if the field is empty. Raises ``InvalidInput``."""
    written = text(given, name)
    if not written:
        return None
    found: Any = None
    with suppress(ValueError):
        found = from_json(written, allow_inf_nan=False) if len(written) <= _MAX_DIGITS else None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise InvalidInput("must be a number, such as 100", name)
    return found


def checked(form: type[Body], values: Mapping[str, Any]) -> Body:
    """These values as the API would take them in a body. Raises ``InvalidInput``."""
    try:
        return form.model_validate(dict(values))
    except ValidationError as error:
        raise invalid(error) from None
