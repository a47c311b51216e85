"""/v1/embeddings: texts become vectors, as numbers or as base64 of 32-bit floats."""

import base64
from array import array
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lengthwise.kinds import kind
from lengthwise.kinds.embed import EmbedOptions, inputs
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt, Text
from lengthwise.kinds.openai.body import LineBody, as_list
from lengthwise.kinds.openai.line import LineItem, LineParams, ReadingKind

_Input = Annotated[Text, Field(min_length=1)]


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("must be -1, which is the model's own limit, or at least 1")
    return value


class EmbeddingBody(LineBody):
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {"dimensions": ()}

    input: _Input | Annotated[list[_Input], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"
    truncate: bool | None = Field(
        default=None, description="Cuts texts that are longer than the model reads. Without it, they are an error."
    )
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, lt=2**31), AfterValidator(_not_zero)] | None = Field(
        default=None, description="Cuts texts to as many tokens; -1 stands for as many as the model reads."
    )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.truncate is False and self.truncate_prompt_tokens is not None:
            raise ValueError("cannot have both truncate false and truncate_prompt_tokens")
        return self

    def texts(self) -> list[str]:
        return as_list(self.input)

    def most_tokens(self, context: int) -> int | None:
        """The tokens to which a text is cut, with what frames it; None if it must not be cut."""
        if self.truncate_prompt_tokens is None:
            return context if self.truncate else None
        return context if self.truncate_prompt_tokens < 0 else min(self.truncate_prompt_tokens, context)


class EmbeddingItem(LineItem[EmbeddingBody]):
    pass


class EmbeddingsKind(ReadingKind):
    name: ClassVar[str] = "embeddings"
    path: ClassVar[str] = "embeddings"
    serves_as: ClassVar[str] = "embed"
    item_type: ClassVar[type[kind.JobItem]] = EmbeddingItem
    remedies: ClassVar[Mapping[str, str]] = {"too_long": '; or send "truncate": true, and it is cut there'}
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
        return [_prompts(model, item.body, inputs(model.spec, before, item.texts())) for item in items]

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


def _prompts(model: KindModel, body: EmbeddingBody, texts: Sequence[str]) -> list[Prompt]:
    encoded = model.tokenizer.encode(texts, framed=True)
    if (most := body.most_tokens(model.spec.context)) is not None:
        encoded = model.tokenizer.cut(texts, encoded, most)
    return [Prompt(ids, max_new_tokens=0) for ids in encoded]


def _packed(answer: ModelAnswer) -> str:
    """Base64 of 32-bit floats in the machine's byte order: OpenAI's is little-endian, and so are all our machines."""
    return base64.b64encode(array("f", answer.vector).tobytes()).decode()
