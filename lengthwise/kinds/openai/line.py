"""A line of a batch as an item, and the line that its caller reads for it."""

import time
import zlib
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import Field
from pydantic_core import to_json

from lengthwise.errors import InvalidInput
from lengthwise.kinds import kind
from lengthwise.kinds.kind import Decoding, KindModel, ModelAnswer, Prompt, Text, unknown
from lengthwise.kinds.openai.body import LineBody
from lengthwise.kinds.result_line import ERRORS
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import ResultStatus

B = TypeVar("B", bound=LineBody)


class LineItem(kind.JobItem, Generic[B]):
    """``id`` is the line's custom_id; ``request`` names it among all lines there ever were."""

    id: Annotated[Text, Field(min_length=1, max_length=512)]
    request: str
    body: B

    def texts(self) -> list[str]:
        return self.body.texts()


class LineParams(kind.JobParams):
    """Lines have nothing in common."""


#: The status and code of a row that failed, where it is not OpenAI's way of saying that the server did.
_CALLERS = {
    "too_long": (400, "context_length_exceeded"),
    "schema_not_met": (422, "schema_not_met"),
}
_NEVER_RUN = {
    ResultStatus.CANCELLED: ("batch_cancelled", "The batch was cancelled before this request ran."),
    ResultStatus.EXPIRED: ("batch_expired", "The batch's completion window ended before this request ran."),
}


class LineKind:
    """What all endpoints have in common. ``path`` is the endpoint's below /v1, ``serves_as`` a native kind."""

    name: ClassVar[str]
    path: ClassVar[str]
    serves_as: ClassVar[str]
    params_type: ClassVar[type[kind.JobParams]] = LineParams
    item_type: ClassVar[type[kind.JobItem]]
    decodes_per_item: ClassVar[bool] = True
    max_attempts: ClassVar[int] = 1
    exhausted_error: ClassVar[str] = "engine_error"

    def serves(self, spec: ModelSpec, params: LineParams) -> bool:
        return self.serves_as in spec.kinds

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        return unknown("model for this endpoint", [spec.name for spec in specs], "model")

    def check(self, spec: ModelSpec, params: LineParams, item: Any) -> None:
        """Raises ``InvalidInput`` where the item asks for what this model cannot do."""

    def decoding(self, spec: ModelSpec, params: LineParams) -> Decoding:
        raise NotImplementedError("each item has its own")

    def decoding_of(self, spec: ModelSpec, params: LineParams, item: Any, n_asked: int) -> Decoding:
        return Decoding(max_new_tokens=0)

    def prompts(
        self, model: KindModel, params: Any, items: Sequence[Any], *, retry: bool = False
    ) -> list[list[Prompt]]:
        raise NotImplementedError

    def output(
        self, model: KindModel, params: Any, item: Any, prompts: Sequence[Prompt], answers: Sequence[ModelAnswer]
    ) -> dict[str, Any] | None:
        raise NotImplementedError

    def succeeded(
        self, index: int, item: LineItem[Any], output: dict[str, Any], n_input: int, n_output: int, made_by: bytes, /
    ) -> bytes:
        body = output | self.usage(n_input, n_output)
        return _line(item, b'"response":%b,"error":null' % _response(item, 200, body))

    def failed(
        self, index: int, item: LineItem[Any], code: str, status: ResultStatus = ResultStatus.FAILED, /
    ) -> bytes:
        if status in _NEVER_RUN:
            named, message = _NEVER_RUN[status]
            return _line(item, b'"response":null,"error":%b' % to_json({"code": named, "message": message}))
        number, named = _CALLERS.get(code, (500, code))
        error = {
            "message": ERRORS[code],
            "type": "invalid_request_error" if number < 500 else "server_error",
            "param": None,
            "code": named,
        }
        return _line(item, b'"response":%b,"error":null' % _response(item, number, {"error": error}))

    def usage(self, n_input: int, n_output: int) -> dict[str, Any]:
        """The body's member that says what was read and written."""
        return {"usage": {"prompt_tokens": n_input, "completion_tokens": n_output, "total_tokens": n_input + n_output}}


def _line(item: LineItem[Any], rest: bytes) -> bytes:
    return b'{"id":"batch_req_%b","custom_id":%b,%b}\n' % (item.request.encode(), to_json(item.id), rest)


def _response(item: LineItem[Any], status: int, body: dict[str, Any]) -> bytes:
    return to_json({"status_code": status, "request_id": f"req_{item.request}", "body": body})


class ReadingKind(LineKind):
    """Of endpoints whose models write nothing."""

    def usage(self, n_input: int, n_output: int) -> dict[str, Any]:
        """Of moderations OpenAI says nothing; ours says what was read."""
        return {"usage": {"prompt_tokens": n_input, "total_tokens": n_input}}


def reading_prompts(model: KindModel, texts: Sequence[str]) -> list[Prompt]:
    """A prompt for each of one item's texts, to which nothing is added."""
    return [Prompt(ids, max_new_tokens=0) for ids in model.tokenizer.encode(texts, framed=True)]


def seed_of(item: LineItem[Any]) -> int:
    """For a line that names none: its own, and the same however often it is begun anew."""
    return zlib.crc32(item.request.encode())


def unix_now() -> int:
    """In Unix seconds."""
    return int(time.time())
