"""The first rows of a file, as the API would read them: with the same readers, limits and errors, and no job."""

from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, NamedTuple

from pydantic_core import from_json, to_json

from api.jobs import body_format as formats
from api.jobs.body_format import BodyDescription
from api.jobs.item_reader import ItemReader
from api.jobs.order import read_order
from api.jobs.state import JobsState
from lengthwise.errors import InvalidInput
from lengthwise.formats.source import SourceTable

_MOST_ROWS = 5
_CHARACTERS = 300


class PreviewItem(NamedTuple):
    """One item: its id, the beginning of its text, what else it has, and what is wrong with it."""

    at: int
    id: str
    text: str
    rest: str
    wrong: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The model that would be chosen, how a table was read, and the first items."""

    model: str
    table: SourceTable | None
    items: list[PreviewItem]


def read(state: JobsState, file: IO[bytes], sent: BodyDescription, *, is_part: bool) -> Preview:
    """Reads the header and the first five items. With ``is_part`` the file may end anywhere.

    Raises ``InvalidInput`` and ``ModelUnusable`` for what is wrong with all of it.
    """
    job = formats.parts(sent, file, state.settings)
    order = read_order(job.header, state.catalog, state.settings, job.source)
    reader = ItemReader(order.target, state.settings)
    items: list[PreviewItem] = []
    try:
        for index, raw in enumerate(islice(job.items(lambda _: None), _MOST_ROWS)):
            items.append(_item(reader, raw, index))
    except InvalidInput:
        if not (is_part and items):
            raise
    else:
        if is_part and 1 < len(items) < _MOST_ROWS:
            items.pop()  # it may have been cut
    if not items:
        raise InvalidInput("a job has at least one item", "file")
    return Preview(order.target.spec.name, job.source, items)


def _item(reader: ItemReader, raw: Any, index: int) -> PreviewItem:
    try:
        checked = reader.read_one(raw, index)
    except InvalidInput as error:
        field = (error.field or "").removeprefix(f"items[{index}]").lstrip(".")
        return PreviewItem(index, "", "", "", f"{field}: {error}" if field else str(error))
    shown = from_json(checked.payload)
    rest = {name: value for name, value in shown.items() if name not in ("id", "text")}
    text = shown.get("text", "")
    return PreviewItem(index, str(shown.get("id", "")), _cut(text), _cut(to_json(rest).decode()) if rest else "", None)


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
