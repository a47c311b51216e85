"""Moderation: which categories a comment falls into, by a classifier's own probabilities."""

import json
from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from lengthwise.errors import ConfigurationError
from lengthwise.kinds import kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.kinds.moderation import greatest, text_prompts, text_spans
from lengthwise.kinds.native import NativeKind
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.kind_options import AnswerForm, KindOptions, LabelObjection, ModelFacts
from lengthwise.models.labels import Labels, listed
from lengthwise.result_field import ANY, FieldPath


class ModerateOptions(KindOptions):
    answer_form: ClassVar[AnswerForm] = AnswerForm.LABELS

    #: A category is true at this probability or above.
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    #: Labels that say that nothing is wrong. They are not categories. Exclusive labels (a softmax) need one, since one
    #: of them always holds.
    harmless: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: ModelSpec) -> "ModerateOptions":
        return spec.options_of("moderate", cls())

    @classmethod
    def proposed(cls, facts: ModelFacts) -> Self | None:
        return None if facts.labels is None else cls(harmless=facts.harmless or facts.labels.harmless())

    @property
    def ignored_labels(self) -> Sequence[str]:
        return self.harmless

    def objection(self, labels: Labels) -> LabelObjection | None:
        return _unfit(labels) or self._wrong_harmless(labels)

    def _wrong_harmless(self, labels: Labels) -> LabelObjection | None:
        names = listed(labels.names)
        if unknown := [label for label in self.harmless if label not in labels.names]:
            alike = [labels.alike(label) or label for label in self.harmless]
            known = [label for label in alike if label in labels.names] or labels.harmless()
            reason = f"harmless names labels that the model does not have ({listed(unknown)}); its labels are {names}"
            return LabelObjection("harmless_unknown", reason, _line(known))
        if set(labels.names) <= set(self.harmless):
            return LabelObjection("harmless_all", f"harmless names all of its labels ({names})", _line(()))
        if not labels.are_exclusive or self.harmless:
            return None
        reason = f"one of its labels ({names}) always holds, so every text would be flagged; name the harmless labels"
        if labels.are_unnamed:
            reason += (
                "; these names say nothing: the model's card explains them, and id2label in config.json can rename them"
            )
            return LabelObjection("harmless_missing", reason, _line(labels.names[:1]))
        return LabelObjection("harmless_missing", reason, _line(labels.harmless()))


def _unfit(labels: Labels) -> LabelObjection | None:
    """Why no table makes a moderator of a classifier with these labels, if so."""
    if labels.are_of_inference:
        what = "its labels are of natural language inference: a job of moderate has no hypotheses for them"
    elif labels.are_quantities:
        what = "its outputs are quantities (problem_type regression), not probabilities"
    elif len(labels.names) == 1 and labels.are_unnamed:
        what = "it has one label without a name, as a reranker or a reward model: its score is no category"
    else:
        return None
    return LabelObjection("wrong_labels", what, None)


def _line(labels: Sequence[str]) -> str:
    """The setting for these labels; with dots if they are not known."""
    return f"harmless = [{', '.join(map(_quoted, labels)) or '…'}]"


def _quoted(label: str) -> str:
    return json.dumps(label, ensure_ascii=False)


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

    def output_fields(self, specs: Sequence[ModelSpec]) -> Collection[FieldPath] | None:
        labels = _labels(specs)
        return [("flagged",), *((part, label) for part in ("categories", "scores", "spans") for label in labels)]


def _labels(specs: Sequence[ModelSpec]) -> set[str]:
    """The labels of these models but for the harmless ones; any, if one of the models does not name its labels."""
    found = set()
    for spec in specs:
        try:
            named = spec.config.get("id2label")
        except ConfigurationError:  # its folder is missing
            named = None
        labels = set(map(str, named.values())) if isinstance(named, dict) else {ANY}
        found |= labels - set(ModerateOptions.of(spec).harmless)
    return found or {ANY}
