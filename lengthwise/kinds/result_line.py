"""The result line of an item: one JSON object with its index, its id, and its output or error."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from lengthwise import json_line
from lengthwise.states import ResultStatus

if TYPE_CHECKING:  # kinds import this module to write their lines
    from lengthwise.kinds.kind import JobItem

#: Why an item has no output, and what to do about it. Callers read the codes. No message quotes an item.
ERRORS = {
    "too_long": "the text has more tokens than the model can read; shorten or split it",
    "empty_prompt": "the model's tokenizer makes no token of the text; send a text with words in it",
    "out_of_memory": "this item alone does not fit the device; shorten it or run it on a larger one",
    "engine_error": "the engine could not run this item",
    "model_unavailable": "the model could not be loaded, however long this waited for it; the worker's log says why",
    "worker_lost": "workers died each time while this item's shard ran",
    "placeholder_lost": "the model did not carry the text's placeholders through",
    "schema_not_met": "no answer of the model followed the schema, however often it was asked",
    "untokenizable": "the model's tokenizer fails on the text; remove its unusual characters, or try another model",
    "too_intricate": "its markup repeats the text too often to be moderated; send the text without its markup",
    "schema_too_costly": "checking an answer against the schema needs too much time or memory",
    "cancelled": "the job was cancelled before this item ran",
    "expired": "the job's deadline passed before this item ran",
}

#: Why an output may be poor although the item succeeded, and what to do about it. A kind of another package may have
#: further codes.
WARNINGS = {
    "blank": "the text is blank, and so is its result; remove such items if they were not meant",
    "copied": "the translation is the source's own text; check the language pair, or try another model",
    "wrong_script": "the translation is not in the script of its language; check the target, or try another model",
    "repeats": "the translation repeats itself without end; shorten the text, or try another model",
    "length": "the translation is far shorter or longer than its source; compare the two",
    "numbers_lost": "the translation lacks numbers of its source; compare the two",
    "unsure": "the model gave its own translation little probability; try a model that knows such texts",
    "truncated": "the text is longer than the model reads, and the vector is of its beginning; split the text",
}


def succeeded(
    index: int,
    item: "JobItem",
    output: dict[str, Any],
    n_input: int,
    n_output: int,
    made_by: bytes,
    warnings: Sequence[str] = (),
) -> bytes:
    """The line of an item with its output. ``made_by`` is the model's revision, as JSON.

    A line without warnings has no such member: most lines have none, and each byte counts a million times.
    """
    used = b'"status":"succeeded","output":%b%b,"usage":{"input_tokens":%d,"output_tokens":%d},"model_revision":%b'
    doubts = b',"warnings":%b' % to_json(warnings) if warnings else b""
    return _line(index, item, used % (to_json(output), doubts, n_input, n_output, made_by))


def message(code: str, limit: int | None = None) -> str:
    """What is said of an error. ``limit``: the tokens that the model reads, if the item has too many."""
    return ERRORS[code] if limit is None else f"{ERRORS[code]} (the model reads at most {limit} tokens)"


def failed(
    index: int, item: "JobItem", code: str, status: ResultStatus = ResultStatus.FAILED, limit: int | None = None
) -> bytes:
    """The line of an item without output. ``code`` is one of ``ERRORS``."""
    error = to_json({"code": code, "message": message(code, limit)})
    return _line(index, item, b'"status":%b,"error":%b' % (to_json(status.value), error))


def _line(index: int, item: "JobItem", body: bytes) -> bytes:
    """Joins finished parts. There are many lines, and building an object for each costs more."""
    own = b"" if item.id is None else b'"id":%b,' % to_json(item.id)
    metadata = b"" if item.metadata is None else b',"metadata":%b' % to_json(item.metadata)
    return json_line.escaped(b'{"index":%d,%b%b%b}\n' % (index, own, body, metadata))


def rounded(lines: bytes, digits: int) -> bytes:
    """Result lines, escaped, with the numbers of ``output.scores`` rounded to so many decimal places."""
    return b"".join([_rounded(line, digits) for line in lines.splitlines(keepends=True)])


def _rounded(line: bytes, digits: int) -> bytes:
    if b'"scores":{' not in line:
        return line
    output = from_json(line).get("output")
    scores = output.get("scores") if isinstance(output, dict) else None
    if not isinstance(scores, dict):
        return line
    short = {name: round(score, digits) if isinstance(score, float) else score for name, score in scores.items()}
    # Only the output is written anew, so that metadata stays as it is.
    return line.replace(_output(output), _output(output | {"scores": short}), 1)


def _output(output: dict[str, Any]) -> bytes:
    return b'"output":' + json_line.escaped(to_json(output))
