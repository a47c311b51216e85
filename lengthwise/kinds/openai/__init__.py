"""The lines of OpenAI's batches, by endpoint: what such a line asks, and the answer in OpenAI's form."""

from uuid import UUID

from lengthwise.kinds.openai.chat import ChatCompletions
from lengthwise.kinds.openai.completions import Completions
from lengthwise.kinds.openai.embeddings import Embeddings
from lengthwise.kinds.openai.line import Line
from lengthwise.kinds.openai.moderations import Moderations
from lengthwise.kinds.openai.responses import Responses

_LINES: tuple[Line, ...] = (ChatCompletions(), Completions(), Responses(), Embeddings(), Moderations())

ENDPOINTS: dict[str, Line] = {f"/v1/{line.path}": line for line in _LINES}
BY_NAME: dict[str, Line] = {line.name: line for line in _LINES}


def batch_name(batch: UUID) -> str:
    """The id of a batch as its caller knows it."""
    return f"batch_{batch.hex}"
