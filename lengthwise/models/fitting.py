"""Whether a model of an architecture can serve the kinds that ``models.toml`` gives it.

The API asks before it accepts a job, from the model's files; a worker asks again once the engine has loaded.
"""

from lengthwise import entry_points
from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.models.architecture import Architecture
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.kind_options import AnswerForm, KindOptions
from lengthwise.models.labels import Labels

#: The class that a model of each architecture mostly has.
_USUAL_CLASS = {
    Architecture.ENCODER_DECODER: "…ForConditionalGeneration",
    Architecture.DECODER_ONLY: "…ForCausalLM",
    Architecture.CLASSIFIER: "…ForSequenceClassification",
    Architecture.EMBEDDER: "…Model",
}


def check(
    spec: ModelSpec, what: str, architecture: Architecture, labels: Labels | None = None, *, may_sample: bool = True
) -> None:
    """Raises ``ModelUnusable`` if one of the model's kinds needs something else.

    ``what`` names the model's class or its engine. Without ``labels``, these are not checked. ``may_sample``: whether
    the engine serves kinds whose answers may be sampled.
    """
    for kind, options in spec.kind_options.items():
        if architecture not in options.needed():
            raise _wrong_architecture(spec, what, architecture, kind, options)
        if options.may_sample and not may_sample:
            reason = f"{what} cannot serve {kind}: it serves kinds that never sample, such as translate"
            raise ModelUnusable(spec.name, "wrong_engine", reason, _another(spec, kind, "another engine"))
        if options.answer_form is AnswerForm.LABELS and labels is not None and (found := options.objection(labels)):
            remedy = _another(spec, kind, "another model")
            if found.line is not None:
                remedy = f"write {found.line} into [models.{spec.name}.{kind}] of models.toml"
            raise ModelUnusable(spec.name, found.code, f"for {kind}, {found.reason}", remedy)


def kinds_for(architecture: Architecture) -> list[str]:
    """The installed kinds that a model of this architecture could serve."""
    return [name for name in entry_points.names(entry_points.KINDS) if architecture in _needed(name)]


def _needed(kind: str) -> frozenset[Architecture]:
    try:
        options: type[KindOptions] = entry_points.load(entry_points.KINDS, kind).options_type
        return options.needed()
    except (ConfigurationError, AttributeError):  # a broken kind is said where it is used
        return frozenset()


def _wrong_architecture(
    spec: ModelSpec, what: str, architecture: Architecture, kind: str, options: KindOptions
) -> ModelUnusable:
    needed = " or ".join(f"{each} ({_USUAL_CLASS[each]})" for each in sorted(options.needed()))
    could = ", ".join(kinds_for(architecture)) or "no kind"
    reason = (
        f"{what} ({architecture}) cannot serve {kind}, which needs a model of the form {needed}; it could serve {could}"
    )
    return ModelUnusable(spec.name, "wrong_architecture", reason, _another(spec, kind, "another model"))


def _another(spec: ModelSpec, kind: str, what: str) -> str:
    return f"remove [models.{spec.name}.{kind}] from models.toml, or name {what} there"
