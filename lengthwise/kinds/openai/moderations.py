"""/v1/moderations: OpenAI's thirteen categories. A model scores those that one of its labels names."""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt, Text
from lengthwise.kinds.moderate import ModerateOptions
from lengthwise.kinds.moderation import greatest, text_prompts
from lengthwise.kinds.openai.body import LineBody, TextPart, text_of
from lengthwise.kinds.openai.line import LineItem, LineParams, ReadingKind

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
#: OpenAI's category for labels that classifiers often have.
_ALIASES = {
    "threat": "harassment/threatening",
    "insult": "harassment",
    "toxic": "harassment",
    "abuse": "harassment",
    "self_harm": "self-harm",
    "illegal": "illicit",
    "hateful": "hate",
}
_Input = Annotated[Text, Field(min_length=1)]


class ModerationBody(LineBody):
    input: _Input | Annotated[list[_Input | TextPart], Field(min_length=1, max_length=256)]

    def texts(self) -> list[str]:
        """Each text gets a result. All parts together are one text, as in OpenAI's API."""
        if isinstance(self.input, str):
            return [self.input]
        parts = [part for part in self.input if isinstance(part, TextPart)]
        return [text_of(parts)] if parts else [text for text in self.input if isinstance(text, str)]


class ModerationItem(LineItem[ModerationBody]):
    pass


class ModerationsKind(ReadingKind):
    name: ClassVar[str] = "moderations"
    path: ClassVar[str] = "moderations"
    serves_as: ClassVar[str] = "moderate"
    model_is_optional: ClassVar[bool] = True
    item_type: ClassVar[type[kind.JobItem]] = ModerationItem
    example: ClassVar[dict[str, Any]] = {"model": "demo-moderate", "input": "What a lovely lamp!"}
    example_answer: ClassVar[dict[str, Any]] = {"id": "modr-0198c0de", "model": "demo-moderate", "results": []}

    def prompts(
        self, model: KindModel, params: LineParams, items: Sequence[ModerationItem], attempt: int
    ) -> list[list[Prompt]]:
        return [list(chain.from_iterable(text_prompts(model, item.texts()))) for item in items]

    def output(
        self,
        model: KindModel,
        params: LineParams,
        item: ModerationItem,
        answers: Sequence[ModelAnswer],
        attempt: int,
    ) -> dict[str, Any] | None:
        options = ModerateOptions.of(model.spec)
        texts, rest = item.texts(), iter(answers)
        # One text has all answers. Only for several it must be known how many each of them has.
        counts = [len(answers)] if len(texts) == 1 else map(len, text_prompts(model, texts))
        return {
            "id": f"modr-{item.request}",
            "model": model.spec.name,
            "results": [_result(list(islice(rest, count)), options) for count in counts],
        }


def _result(answers: Sequence[ModelAnswer], options: ModerateOptions) -> dict[str, Any]:
    """``flagged`` counts every label of the model, also those that are none of OpenAI's categories."""
    own = [
        (_ALIASES.get(label.lower(), label.lower()), score)
        for label, (score, _) in greatest(answers).items()
        if label not in options.harmless
    ]
    known = {name for name, _ in own}
    scores = dict.fromkeys(CATEGORIES, 0.0)
    for name, score in own:
        if name in scores:
            scores[name] = max(scores[name], score)
    return {
        "flagged": any(score >= options.threshold for _, score in own),
        "categories": {name: name in known and score >= options.threshold for name, score in scores.items()},
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] if name in known else [] for name in CATEGORIES},
    }
