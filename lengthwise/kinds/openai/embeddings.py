"""/v1/embeddings: texts become vectors, as floats or as base64 of 32-bit ones."""

import base64
from array import array
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt, Text
from lengthwise.kinds.openai.body import LineBody, as_list
from lengthwise.kinds.openai.line import LineItem, LineParams, ReadingKind, reading_prompts
from lengthwise.models.catalog import EmbedOptions

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

    def prompts(
        self, model: KindModel, params: LineParams, items: Sequence[EmbeddingItem], *, retry: bool = False
    ) -> list[list[Prompt]]:
        """With the first of the model's prefixes: OpenAI's form has no field for another."""
        before = next(iter((model.spec.embed or EmbedOptions()).prefix.values()), "")
        return [reading_prompts(model, [before + text for text in item.texts()]) for item in items]

    def output(
        self,
        model: KindModel,
        params: LineParams,
        item: EmbeddingItem,
        prompts: Sequence[Prompt],
        answers: Sequence[ModelAnswer],
    ) -> dict[str, Any] | None:
        is_packed = item.body.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(each) if is_packed else list(each.vector)}
            for index, each in enumerate(answers)
        ]
        return {"object": "list", "data": data, "model": model.spec.name}


def _packed(answer: ModelAnswer) -> str:
    """Little-endian, as every machine that this runs on has them."""
    return base64.b64encode(array("f", answer.vector).tobytes()).decode()
