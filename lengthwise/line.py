"""The line a caller reads for each item: one JSON object with its index, its id, and its output or error."""

from typing import Any

from pydantic_core import to_json

from lengthwise.kinds.kind import Item
from lengthwise.states import ResultStatus

#: Why an item has no output, and what to do about it. Codes are part of the wire; the messages never hold text.
ERRORS = {
    "too_long": "the text has more tokens than the model can read; shorten or split it",
    "out_of_memory": "this item alone does not fit the device; shorten it or run it on a larger one",
    "engine_error": "the engine could not run this item",
    "model_unavailable": "the model could not be loaded; the worker's log says why",
    "worker_lost": "workers died each time while this item's shard ran",
    "placeholder_lost": "the model did not carry the text's placeholders through",
    "cancelled": "the job was cancelled before this item ran",
    "expired": "the job's deadline passed before this item ran",
}


#: An enum's own ``value`` is slow to look up, and there are many lines.
_NAMES = {status: status.value for status in ResultStatus}


def succeeded(index: int, item: Item, output: dict[str, Any], n_input: int, n_output: int) -> bytes:
    usage = {"input_tokens": n_input, "output_tokens": n_output}
    return _line(index, item, ResultStatus.SUCCEEDED, {"output": output, "usage": usage})


def failed(index: int, item: Item, code: str, status: ResultStatus = ResultStatus.FAILED) -> bytes:
    """A line for an item without output; ``code`` is one of ``ERRORS``."""
    return _line(index, item, status, {"error": {"code": code, "message": ERRORS[code]}})


def _line(index: int, item: Item, status: ResultStatus, body: dict[str, Any]) -> bytes:
    line: dict[str, Any] = {"index": index}
    if item.id is not None:
        line["id"] = item.id
    line |= {"status": _NAMES[status], **body}
    if item.metadata is not None:
        line["metadata"] = item.metadata
    return to_json(line) + b"\n"
