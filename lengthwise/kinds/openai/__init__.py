"""The kinds of the lines of OpenAI's batches, one for each endpoint. A new endpoint is one module and one line here."""

from uuid import UUID

from lengthwise.kinds.openai.chat import ChatCompletionsKind
from lengthwise.kinds.openai.completions import CompletionsKind
from lengthwise.kinds.openai.embeddings import EmbeddingsKind
from lengthwise.kinds.openai.line import LineKind
from lengthwise.kinds.openai.moderations import ModerationsKind
from lengthwise.kinds.openai.responses import ResponsesKind

_LINES: tuple[LineKind, ...] = (
    ChatCompletionsKind(),
    CompletionsKind(),
    ResponsesKind(),
    EmbeddingsKind(),
    ModerationsKind(),
)

ENDPOINTS: dict[str, LineKind] = {f"/v1/{line.path}": line for line in _LINES}
BY_NAME: dict[str, LineKind] = {line.name: line for line in _LINES}


def batch_name(batch: UUID) -> str:
    """The id of a batch as its caller knows it."""
    return f"batch_{batch.hex}"
