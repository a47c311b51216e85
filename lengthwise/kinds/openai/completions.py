"""/v1/completions: a prompt, continued. Several prompts give a choice each."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.generate import GenerateOptions
from lengthwise.kinds.kind import Decoding, KindModel, ModelAnswer, Prompt, Text
from lengthwise.kinds.openai.body import SampledBody, Stop, as_list, token_limit
from lengthwise.kinds.openai.line import LineItem, LineKind, LineParams, seed_of, unix_now
from lengthwise.kinds.sampling import trimmed
from lengthwise.models.catalog import ModelSpec

_Prompt = Annotated[Text, Field(min_length=1)]


class CompletionBody(SampledBody):
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        "n": (1,),
        "best_of": (1,),
        "echo": (False,),
        "stream": (False,),
        "stream_options": (),
        "logprobs": (),
        "logit_bias": ({},),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "suffix": ("",),
    }

    prompt: _Prompt | Annotated[list[_Prompt], Field(min_length=1, max_length=256)]
    max_tokens: int | None = Field(default=None, ge=1)
    stop: Stop | None = None

    def limit(self) -> int | None:
        return self.max_tokens

    def stops(self) -> list[str]:
        return as_list(self.stop)

    def texts(self) -> list[str]:
        return as_list(self.prompt)


class CompletionItem(LineItem[CompletionBody]):
    pass


class CompletionsKind(LineKind):
    name: ClassVar[str] = "completions"
    path: ClassVar[str] = "completions"
    serves_as: ClassVar[str] = "generate"
    item_type: ClassVar[type[kind.JobItem]] = CompletionItem
    example: ClassVar[dict[str, Any]] = {"model": "qwen", "prompt": "Once upon a time", "max_tokens": 2}
    example_answer: ClassVar[dict[str, Any]] = {
        "id": "cmpl-0198c0de",
        "object": "text_completion",
        "created": 1790000000,
        "model": "qwen",
        "choices": [{"index": 0, "text": ", there", "logprobs": None, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
    }

    def decoding(self, spec: ModelSpec, params: LineParams, item: CompletionItem, attempt: int) -> Decoding:
        return item.body.decoding(spec, seed_of(item))

    def prompts(
        self, model: KindModel, params: LineParams, items: Sequence[CompletionItem], attempt: int
    ) -> list[list[Prompt]]:
        spec = model.spec
        before = model.tokenizer.special(GenerateOptions.of(spec).prefix)
        found = []
        for item in items:
            limit = token_limit(spec, item.body.limit())
            encoded = model.tokenizer.encode(item.body.texts(), framed=not before)
            sequences = [before + ids for ids in encoded]
            found.append([Prompt(ids, min(limit, spec.context - len(ids))) for ids in sequences])
        return found

    def output(
        self,
        model: KindModel,
        params: LineParams,
        item: CompletionItem,
        answers: Sequence[ModelAnswer],
        attempt: int,
    ) -> dict[str, Any] | None:
        stops = item.body.stops()
        choices = [
            {
                "index": index,
                "text": trimmed(answer.text, stops),
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ]
        return {
            "id": f"cmpl-{item.request}",
            "object": "text_completion",
            "created": unix_now(),
            "model": model.spec.name,
            "choices": choices,
        }
