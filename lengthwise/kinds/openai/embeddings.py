"""/v1/embeddings: texts become vectors, as numbers or as base64 of 32-bit floats."""

import base64
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.embed import EmbedOptions, inputs
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt, Text
from lengthwise.kinds.openai.body import LineBody, as_list
from lengthwise.kinds.openai.line import LineItem, LineParams, ReadingKind, reading_prompts

_Input = Annotated[Text, Field(min_length=1)]


class EmbeddingBody(LineBody):
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {"dimensions": ()}

    input: _Input | Annotated[list[_Input], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"

    def texts(self) -> list[str]:
        return as_list(self.input)


class EmbeddingItem(LineItem[EmbeddingBody]):
    pass


class EmbeddingsKind(ReadingKind):
    name: ClassVar[str] = "embeddings"
    path: ClassVar[str] = "embeddings"
    serves_as: ClassVar[str] = "embed"
    item_type: ClassVar[type[kind.JobItem]] = EmbeddingItem
    example: ClassVar[dict[str, Any]] = {"model": "bge", "input": ["What a lovely lamp!"]}
    example_answer: ClassVar[dict[str, Any]] = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
        "model": "bge",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }

    def prompts(
        self, model: KindModel, params: LineParams, items: Sequence[EmbeddingItem], attempt: int
    ) -> list[list[Prompt]]:
        """Puts the first of the model's prefixes before each text: OpenAI's API has no field that names another."""
        before = next(iter(EmbedOptions.of(model.spec).prefix.values()), "")
        return [reading_prompts(model, inputs(model.spec, before, item.texts())) for item in items]

    def output(
        self,
        model: KindModel,
        params: LineParams,
        item: EmbeddingItem,
        answers: Sequence[ModelAnswer],
        attempt: int,
    ) -> dict[str, Any] | None:
        is_packed = item.body.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(each) if is_packed else list(each.vector)}
            for index, each in enumerate(answers)
        ]
        return {"object": "list", "data": data, "model": model.spec.name}


def _packed(answer: ModelAnswer) -> str:
    """Base64 of 32-bit floats in the machine's byte order: OpenAI's is little-endian, and so are all our machines."""
    return base64.b64encode(array("f", answer.vector).tobytes()).decode()
