"""Reads a job's items strictly, many at once. If one of them is wrong, they are read again one by one, to name it.

Both ways accept the same items. Only the second explains a refusal.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from api.http import body
from api.intake.counting import CheckedItem, ItemTarget
from api.problem import invalid
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.kinds.kind import JobItem, unknown_field
from lengthwise.settings import Settings

_DIGEST_BYTES = 16


class ItemReader:
    """Checks the items of one job. A raw item is a line of bytes that is still to be parsed, or a JSON value."""

    def __init__(self, target: ItemTarget, current: Settings) -> None:
        self._kind, self._spec, self._params, self._settings = target.kind, target.spec, target.params, current
        self._fields = self._kind.item_type.model_fields.keys()
        #: If a payload has at most this many bytes, its text and its metadata are within their limits.
        self._short = min(current.max_text_characters, current.max_metadata_bytes)
        self._ids: set[bytes] = set()

    def read(self, raws: Sequence[Any], first: int) -> list[CheckedItem]:
        """The items from index ``first`` on; all are lines or all are values.

        Raises ``InvalidInput``, which names the first item that is wrong.
        """
        try:
            return self.read_many(raws)
        except (ValueError, InvalidInput):
            return [self.read_one(raw, index) for index, raw in enumerate(raws, first)]

    def read_many(self, raws: Sequence[Any]) -> list[CheckedItem]:
        """``read`` for many items at once. Its error does not say which item is wrong."""
        validator = _item_or_text(self._kind.item_type).validator
        if isinstance(raws[0], bytes):
            joined = b"".join(raws)
            # Pydantic overlooks these numbers if the name before them occurs again in the same object.
            if b"NaN" in joined or b"Infinity" in joined:
                for raw in raws:
                    body.parse(raw, "items")
            found = list(map(validator.validate_json, raws))
        elif all(raw.keys() <= self._fields for raw in raws if isinstance(raw, dict)):
            found = list(map(validator.validate_python, raws))
        else:
            raise InvalidInput("has an unknown field")
        of_text = self._kind.item_type.__pydantic_validator__.validate_python
        items = [of_text({"text": item}) if type(item) is str else item for item in found]
        for item in items:
            self._kind.check(self._spec, self._params, item)
        checked = [CheckedItem(item, _payload(item)) for item in items]
        for item, payload in checked:
            if len(payload) > self._short:
                self._check_sizes(item)
        self._note_ids([item.id for item in items if item.id is not None])
        return checked

    def read_one(self, raw: Any, index: int) -> CheckedItem:
        """``read`` for one item. The error names its index, the field and the reason."""
        at = f"items[{index}]"
        value = body.parse(raw, at, index) if isinstance(raw, bytes) else raw
        if isinstance(value, dict) and not value.keys() <= self._fields:
            raise InvalidInput(unknown_field(self._fields), at, index)
        try:
            item = self._kind.item_type.model_validate({"text": value} if isinstance(value, str) else value)
        except ValidationError as error:
            raise invalid(error, at, index) from None
        try:
            self._kind.check(self._spec, self._params, item)
            self._check_sizes(item)
            self._note_ids([item.id] if item.id is not None else [])
        except InvalidInput as error:
            raise type(error)(str(error), f"{at}.{error.field}", index) from None
        return CheckedItem(item, _payload(item))

    def _check_sizes(self, item: JobItem) -> None:
        max_characters, max_bytes = self._settings.max_text_characters, self._settings.max_metadata_bytes
        if sum(len(text) for text in item.texts()) > max_characters:
            name = "text" if "text" in item.model_fields_set else "messages"
            raise TooLarge(f"may have at most {max_characters} characters", name)
        if item.metadata is not None and len(to_json(item.metadata)) > max_bytes:
            raise TooLarge(f"may have at most {max_bytes} bytes as JSON", "metadata")

    def _note_ids(self, ids: Sequence[str]) -> None:
        """Raises ``InvalidInput`` if one of them was seen before. Then none of them is added."""
        keys = set(map(_key, ids))
        if len(keys) < len(ids) or not keys.isdisjoint(self._ids):
            raise InvalidInput("another item of this job has the same id", "id")
        self._ids |= keys


def _key(given: str) -> bytes:
    """The id, or its digest if that is shorter: a million long ids would take much memory."""
    encoded = given.encode()
    return encoded if len(encoded) < _DIGEST_BYTES else hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).digest()


def _payload(item: JobItem) -> bytes:
    return item.__pydantic_serializer__.to_json(item, exclude_none=True)


@cache
def _item_or_text(item_type: type[JobItem]) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[item_type | str, Field(union_mode="left_to_right")])  # type: ignore[arg-type]
