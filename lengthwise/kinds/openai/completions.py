"""/v1/completions: a prompt, continued; of several prompts a choice each."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import Decoding, KindModel, ModelAnswer, Prompt, Text
from lengthwise.kinds.openai.body import SampledBody, Stop, as_list, token_limit
from lengthwise.kinds.openai.line import LineItem, LineKind, LineParams, seed_of, unix_now
from lengthwise.kinds.sampling import trimmed
from lengthwise.models.catalog import GenerateOptions, ModelSpec

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

    def decoding_of(self, spec: ModelSpec, params: LineParams, item: CompletionItem, n_asked: int) -> Decoding:
        return item.body.decoding(spec, seed_of(item))

    def prompts(
        self, model: KindModel, params: LineParams, items: Sequence[CompletionItem], *, retry: bool = False
    ) -> list[list[Prompt]]:
        spec = model.spec
        before = model.tokenizer.special((spec.generate or GenerateOptions()).prefix)
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
        prompts: Sequence[Prompt],
        answers: Sequence[ModelAnswer],
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
