"""Moderation: which categories a comment falls into, by a classifier's own probabilities."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.kinds.moderation import greatest, text_prompts, text_spans
from lengthwise.kinds.native import NativeKind
from lengthwise.models.catalog import AnswerForm, KindOptions, ModelSpec


class ModerateOptions(KindOptions):
    answer_form: ClassVar[AnswerForm] = AnswerForm.LABELS

    #: A category is true at this probability or above.
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    #: Labels that say that nothing is wrong. They are not categories.
    harmless: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: ModelSpec) -> "ModerateOptions":
        return spec.options_of("moderate", cls())


class ModerateParams(kind.JobParams):
    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="The probability from which a category is true, instead of the model's own.",
    )


class ModerateItem(kind.TextItem):
    pass


class ModerateKind(NativeKind):
    name: ClassVar[str] = "moderate"
    params_type: ClassVar[type[kind.JobParams]] = ModerateParams
    item_type: ClassVar[type[kind.JobItem]] = ModerateItem
    options_type: ClassVar[type[KindOptions]] = ModerateOptions
    usual_architecture: ClassVar[str | None] = "classifier"
    summary: ClassVar[str] = "says which categories a comment falls into"
    example: ClassVar[dict[str, Any]] = {
        "items": [{"id": "c-1", "text": "What a lovely lamp!", "metadata": {"page": 7}}],
    }

    def prompts(
        self, model: KindModel, params: ModerateParams, items: Sequence[ModerateItem], attempt: int
    ) -> list[list[Prompt]]:
        return text_prompts(model, [item.text for item in items])

    def output(
        self, model: KindModel, params: ModerateParams, item: ModerateItem, answers: Sequence[ModelAnswer], attempt: int
    ) -> dict[str, Any] | None:
        harmless, threshold = ModerateOptions.of(model.spec).harmless, self.label_threshold(model.spec, params)
        found = {label: best for label, best in greatest(answers).items() if label not in harmless}
        scores = {label: score for label, (score, _) in found.items()}
        categories = {label: score >= threshold for label, score in scores.items()}
        output = {"flagged": any(categories.values()), "categories": categories, "scores": scores}
        if len(answers) > 1:
            spans = text_spans(model, item.text)
            output["spans"] = {label: spans[place] for label, (_, place) in found.items()}
        return output

    def label_threshold(self, spec: ModelSpec, params: ModerateParams) -> float:
        return params.threshold or ModerateOptions.of(spec).threshold
