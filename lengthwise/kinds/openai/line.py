"""A line of a batch as an item, and the result line that answers it."""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import Field
from pydantic_core import to_json

from lengthwise import json_line
from lengthwise.errors import InvalidInput
from lengthwise.kinds import kind, result_line
from lengthwise.kinds.kind import CostlyOutput, Decoding, KindModel, ModelAnswer, Prompt, Text, unknown
from lengthwise.kinds.openai.body import LineBody
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import ResultStatus

B = TypeVar("B", bound=LineBody)


class LineItem(kind.JobItem, Generic[B]):
    """``id`` is the line's custom_id; ``request`` is unique among all lines of all batches."""

    id: Annotated[Text, Field(min_length=1, max_length=512)]
    request: str
    body: B

    def texts(self) -> list[str]:
        return self.body.texts()


class LineParams(kind.JobParams):
    """A batch has no parameters: each line has its own."""


#: HTTP status and error code of failures that the request itself causes. All others are 500.
_REQUEST_ERRORS = {
    "too_long": (400, "context_length_exceeded"),
    "empty_prompt": (400, "empty_prompt"),
    "untokenizable": (400, "untokenizable"),
    "too_intricate": (400, "too_intricate"),
    "schema_not_met": (422, "schema_not_met"),
    "schema_too_costly": (422, "schema_too_costly"),
}
_NEVER_RUN = {
    ResultStatus.CANCELLED: ("batch_cancelled", "The batch was cancelled before this request ran."),
    ResultStatus.EXPIRED: ("batch_expired", "The batch's completion window ended before this request ran."),
}


class LineKind(ABC):
    """What the kinds of all endpoints have in common."""

    name: ClassVar[str]
    #: The endpoint's path below /v1.
    path: ClassVar[str]
    #: The native kind that a model must serve.
    serves_as: ClassVar[str]
    #: Whether a request may leave out ``model``. Then the first model that serves the endpoint answers it.
    model_is_optional: ClassVar[bool] = False
    #: A request and its answer, for the API's documentation.
    example: ClassVar[dict[str, Any]]
    example_answer: ClassVar[dict[str, Any]]
    params_type: ClassVar[type[kind.JobParams]] = LineParams
    item_type: ClassVar[type[kind.JobItem]]
    decodes_per_item: ClassVar[bool] = True
    max_attempts: ClassVar[int] = 1
    exhausted_error: ClassVar[str] = "engine_error"
    #: What else a caller may do about an error, by its code: the end of its message.
    remedies: ClassVar[Mapping[str, str]] = {}

    def serves(self, spec: ModelSpec, params: LineParams) -> bool:
        return self.serves_as in spec.kinds

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        return unknown("model for this endpoint", [spec.name for spec in specs], "model")

    def check(self, spec: ModelSpec, params: LineParams, item: Any) -> None:
        """Accepts every item: its body was checked when it was read."""
        return

    @abstractmethod
    def decoding(self, spec: ModelSpec, params: LineParams, item: Any, attempt: int) -> Decoding: ...

    @abstractmethod
    def prompts(self, model: KindModel, params: Any, items: Sequence[Any], attempt: int) -> list[list[Prompt]]: ...

    @abstractmethod
    def output(
        self, model: KindModel, params: Any, item: Any, answers: Sequence[ModelAnswer], attempt: int
    ) -> dict[str, Any] | CostlyOutput | None: ...

    def warnings(
        self, model: KindModel, params: Any, item: Any, output: dict[str, Any], answers: Sequence[ModelAnswer]
    ) -> Sequence[str]:
        """None: OpenAI's lines have no place for them."""
        return ()

    def succeeded(
        self,
        index: int,
        item: LineItem[Any],
        output: dict[str, Any],
        n_input: int,
        n_output: int,
        made_by: bytes,
        warnings: Sequence[str] = (),
        /,
    ) -> bytes:
        usage = self.usage(n_input, n_output)["usage"]
        body = output | {"usage": usage | output.get("usage", {})}
        return _line(item, b'"response":%b,"error":null' % _response(item, 200, body))

    def failed(
        self,
        index: int,
        item: LineItem[Any],
        code: str,
        status: ResultStatus = ResultStatus.FAILED,
        limit: int | None = None,
        /,
    ) -> bytes:
        if status in _NEVER_RUN:
            named, message = _NEVER_RUN[status]
            return _line(item, b'"response":null,"error":%b' % to_json({"code": named, "message": message}))
        number, named = _REQUEST_ERRORS.get(code, (500, code))
        error = {
            "message": result_line.message(code, limit) + self.remedies.get(code, ""),
            "type": "invalid_request_error" if number < 500 else "server_error",
            "param": None,
            "code": named,
        }
        return _line(item, b'"response":%b,"error":null' % _response(item, number, {"error": error}))

    def usage(self, n_input: int, n_output: int) -> dict[str, Any]:
        """The member of the answer's body that counts the tokens read and written. An output may add to it."""
        return {"usage": {"prompt_tokens": n_input, "completion_tokens": n_output, "total_tokens": n_input + n_output}}


def _line(item: LineItem[Any], rest: bytes) -> bytes:
    return json_line.escaped(
        b'{"id":"batch_req_%b","custom_id":%b,%b}\n' % (item.request.encode(), to_json(item.id), rest)
    )


def _response(item: LineItem[Any], status: int, body: dict[str, Any]) -> bytes:
    return to_json({"status_code": status, "request_id": f"req_{item.request}", "body": body})


class ReadingKind(LineKind):
    """The kinds of endpoints whose models only read."""

    def decoding(self, spec: ModelSpec, params: LineParams, item: Any, attempt: int) -> Decoding:
        return Decoding(max_new_tokens=0)

    def usage(self, n_input: int, n_output: int) -> dict[str, Any]:
        """OpenAI counts nothing for moderations; here the tokens read are counted."""
        return {"usage": {"prompt_tokens": n_input, "total_tokens": n_input}}


def seed_of(item: LineItem[Any]) -> int:
    """The seed of a line that names none: its own, and the same if a worker starts the line again."""
    return zlib.crc32(item.request.encode())


def unix_now() -> int:
    """The time, in Unix seconds."""
    return int(time.time())
