"""Reads the lines of a batch's file. Each becomes a checked item, or an error that says what is wrong with it."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from api import problem
from api.http import body
from api.intake.counting import CheckedItem, ItemTarget, Portion, in_portions
from lengthwise import encoding
from lengthwise.errors import InvalidInput, ModelUnusable
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.kinds.openai.line import LineItem, LineKind, LineParams
from lengthwise.kinds.openai.schema_check import Allowance
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.usable import unusable
from lengthwise.settings import Settings

_FIELDS = ("custom_id", "method", "url", "body")
#: Pydantic's names for the branches of a union, such as ``constrained-str``, ``list[TextPart]`` and ``TextPart``.
_BRANCH = re.compile(r"[A-Z]\w*|.*[-\[].*|str", re.DOTALL)
_PARAMS = LineParams()
#: Below these fields pydantic names the branch of a union by the value of its ``type``.
_TAGGED = ("response_format", "format")


class LineError(Exception):
    """What is wrong with a line. It never repeats the line's text."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def shown(self, number: int | None) -> dict[str, Any]:
        """The entry of ``errors.data``. Lines are counted from 1."""
        return {"code": self.code, "line": number, "message": str(self), "param": self.param}


class CheckedRequest(NamedTuple):
    """A checked request and the model that it names."""

    spec: ModelSpec
    checked: CheckedItem


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Checks bodies for one endpoint, from lines and from single requests. ``schemas``: what theirs may take."""

    kind: LineKind
    catalog: Catalog
    current: Settings
    schemas: Allowance = field(default_factory=Allowance)
    _found: dict[str, ModelUnusable | None] = field(default_factory=dict)

    def request(self, custom_id: str, given: Any) -> CheckedRequest:
        """Raises ``LineError``."""
        if not isinstance(given, dict):
            raise LineError("invalid_request", "must be a JSON object", "body")
        if self.kind.model_is_optional and given.get("model") is None:
            given = given | {"model": self._default()}
        sent = {"id": custom_id, "request": uuid4().hex, "body": given}
        try:
            item = self.kind.item_type.model_validate(sent, context=self.schemas)
        except ValidationError as error:
            raise _line_error(error) from None
        assert isinstance(item, LineItem)  # noqa: S101 — every kind of line has such items
        spec = self.catalog.models.get(item.body.model)
        if spec is None or self.kind.serves_as not in spec.kinds:
            raise LineError("model_not_found", f"no such model for this endpoint; {self._known()}", "model")
        if (found := self._unusable(spec)) is not None:
            raise LineError("model_unusable", str(found), "model") from found
        if sum(map(len, item.texts())) > self.current.max_text_characters:
            most = self.current.max_text_characters
            raise LineError("invalid_request", f"the texts may have at most {most} characters", "body")
        payload = item.__pydantic_serializer__.to_json(item, exclude_unset=True)
        return CheckedRequest(spec, CheckedItem(item, payload))

    def _default(self) -> str | None:
        serving = self.catalog.serving(self.kind.serves_as)
        usable = (spec for spec in serving if self._unusable(spec) is None)
        return next((spec.name for spec in (*usable, *serving)), None)

    def _unusable(self, spec: ModelSpec) -> ModelUnusable | None:
        """Looked up once: a file of many lines is read against one state of the models."""
        if spec.name not in self._found:
            self._found[spec.name] = unusable(spec, is_local=self.current.has_local_workers)
        return self._found[spec.name]

    def _known(self) -> str:
        names = [spec.name for spec in self.catalog.serving(self.kind.serves_as)]
        return f"known here: {', '.join(names) or 'none'}"


class LineReader:
    """Checks the lines of one file, of which no two may have the same custom_id."""

    def __init__(self, endpoint: str, catalog: Catalog, current: Settings) -> None:
        self._endpoint = endpoint
        self._bodies = BodyReader(ENDPOINTS[endpoint], catalog, current, Allowance(current.schema_seconds))
        self._seen: set[bytes] = set()

    def read(self, raw: bytes) -> CheckedRequest:
        """Raises ``LineError``."""
        try:
            line = body.parse(raw, "line")
        except InvalidInput as error:
            raise LineError("invalid_json_line", str(error)) from None
        if not isinstance(line, dict):
            raise LineError("invalid_request", "a line is a JSON object")
        custom_id = line.get("custom_id")
        if not isinstance(custom_id, str) or not custom_id:
            raise LineError("invalid_request", "must be a string that is not empty", "custom_id")
        self._add_id(custom_id)
        if not line.keys() <= set(_FIELDS):
            raise LineError("invalid_request", f"has an unknown field; known here: {', '.join(_FIELDS)}")
        if line.get("method") != "POST":
            raise LineError("invalid_request", "must be POST", "method")
        if line.get("url") != self._endpoint:
            raise LineError("url_mismatch", "must be the batch's endpoint", "url")
        return self._bodies.request(custom_id, line.get("body"))

    def _add_id(self, custom_id: str) -> None:
        key = hashlib.blake2b(custom_id.encode(), digest_size=16).digest()
        if key in self._seen:
            raise LineError("duplicate_custom_id", "another line before has the same", "custom_id")
        self._seen.add(key)


def _line_error(error: ValidationError) -> LineError:
    details = error.errors(include_input=False, include_url=False)
    first = details[0]
    # Every branch of a union reports an error. The one with the longest path is about the branch that was meant.
    place = _place(first)
    meant = max((each for each in details if _place(each)[: len(place)] == place), key=lambda each: len(_place(each)))
    field = meant.get("ctx", {}).get("field") if meant["type"] == "unsupported" else None
    return LineError("invalid_request", problem.message(meant), _param((*_place(meant), *([field] if field else ()))))


def _place(details: ErrorDetails) -> tuple[int | str, ...]:
    location = details["loc"]
    return tuple(
        part
        for before, part in zip((None, *location), location, strict=False)
        if isinstance(part, int) or not (_BRANCH.fullmatch(part) or before in _TAGGED)
    )


def _param(place: tuple[int | str, ...]) -> str:
    """The place as OpenAI names it: a path within the body, or custom_id."""
    inner = place[1:] if place[:1] == ("body",) else ("custom_id",)
    return problem.path("", inner) or "body"


def portions(kind: LineKind, requests: Iterable[tuple[int, CheckedRequest]]) -> Iterator[Portion]:
    """Requests and the numbers of their lines, in portions that name one model each."""
    for together in in_portions(requests, lambda numbered: len(numbered[1].checked.payload)):
        for _, run in groupby(together, lambda numbered: numbered[1].spec.name):
            numbers, same = zip(*run, strict=True)
            yield Portion(ItemTarget(kind, same[0].spec, _PARAMS), [request.checked for request in same], numbers)


def split(blocks: Iterable[bytes], limit: int) -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not blank, with their numbers from 1; None in place of a line of more than ``limit`` bytes.

    Byte order marks are skipped: files that were joined have one where each begins.
    At most one line is held in memory. A line that is too long is held up to the limit and one block.
    """
    rest, number, is_skipping = b"", 1, False
    for block in blocks:
        first, *others = block.split(b"\n")
        if not is_skipping:
            rest += first
        if len(rest) > limit:
            rest, is_skipping = b"", True
        if not others:
            continue
        yield from _line(number, None if is_skipping else rest, limit)
        *whole, rest = others
        for at, line in enumerate(whole, number + 1):
            yield from _line(at, line, limit)
        number, is_skipping = number + len(others), False
        if len(rest) > limit:
            rest, is_skipping = b"", True
    yield from _line(number, None if is_skipping else rest, limit)


def _line(number: int, line: bytes | None, limit: int) -> Iterator[tuple[int, bytes | None]]:
    if line is None or len(line) > limit:
        yield number, None
        return
    line = line.removeprefix(encoding.MARK)
    if line and not line.isspace():
        yield number, line
