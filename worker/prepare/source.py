"""Finds the model to prepare, and its options."""

from pathlib import Path
from typing import NamedTuple

from lengthwise import settings
from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.kinds import KINDS
from lengthwise.models import model_file, template, tokenizer, usable
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.kind_options import KindOptions, ModelFacts
from lengthwise.models.labels import Labels
from worker.engine.protocol import Architecture
from worker.engine.transformer.weights import loading
from worker.importing.bring import Brought, bring, check_origin
from worker.prepare.sample import fitting_kinds

_PROMPTS = "config_sentence_transformers.json"
_NO_PROMPT = "none"


class Source(NamedTuple):
    """A model to prepare. ``brought`` is None if ``models.toml`` names it."""

    spec: ModelSpec
    brought: Brought | None = None


def resolve(origin: str, revision: str | None, workspace: Path) -> Source:
    """The model that ``origin`` names: a name in ``models.toml``, a folder, a .gguf file, or a hub id.

    What is not in the form that lengthwise loads is brought into it in ``workspace``, an empty folder. If
    ``models.toml`` names the same folder or hub id, its options apply. Raises ``ConfigurationError``.
    """
    path = settings.get().models
    catalog = Catalog.read(path) if path.exists() else Catalog({})
    if (spec := catalog.models.get(origin)) is not None:
        if spec.engine != "torch":
            raise ConfigurationError(
                f"model {spec.name} has the engine {spec.engine}: only those of torch are prepared"
            )
        return Source(spec)
    check_origin(origin, "not in models.toml, and ")
    brought = bring(origin, revision, workspace)
    spec = ModelSpec(name=brought.name, path=workspace, revision=brought.revision)
    listed = next((each for each in catalog.models.values() if _is_same_model(each, origin, brought)), None)
    if listed is not None:
        spec = spec.model_copy(update={"name": listed.name, "kind_options": listed.kind_options})
    return Source(spec, brought)


def with_kind(spec: ModelSpec, harmless: tuple[str, ...] = ()) -> ModelSpec:
    """``spec`` with a table for each kind that its files suffice for, if ``models.toml`` gives it none.

    ``harmless``: the labels of a classifier that say that nothing is wrong. Raises ``ConfigurationError`` if it has
    none, or has a table already, and ``ModelUnusable`` if serving would refuse the model.
    """
    usable.check(spec, is_local=True)
    if spec.kinds:
        if harmless:
            raise ConfigurationError("--harmless: models.toml has a table for this model: name them there")
        return spec
    architecture = loading.architecture(spec)
    if harmless and architecture is not Architecture.CLASSIFIER:
        raise ConfigurationError(f"--harmless: the model is no classifier, which has labels: it is {architecture}")
    spec = spec.model_copy(update={"kind_options": _proposed(spec, architecture, harmless)})
    try:
        usable.check(spec, is_local=True)
    except ModelUnusable as error:
        if not error.code.startswith("harmless_"):
            raise
        remedy = "name each of them with --harmless LABEL"  # there is no table yet
        raise ModelUnusable(spec.name, error.code, error.reason, remedy) from None
    return spec


def _proposed(spec: ModelSpec, architecture: Architecture, harmless: tuple[str, ...]) -> dict[str, KindOptions]:
    """A table for each kind that the model's files suffice for, its usual kind first."""
    facts = ModelFacts(
        spec.name,
        spec.config,
        tokenizer.load(spec).vocabulary,
        Labels.of(spec.config) if architecture is Architecture.CLASSIFIER else None,
        _has_template(spec.folder),
        _prompts(spec.folder),
        harmless,
    )
    tables = {name: KINDS[name].options_type.proposed(facts) for name in fitting_kinds(architecture)}
    return {name: table for name, table in tables.items() if table is not None}


def _has_template(folder: Path) -> bool:
    try:
        template.load(folder)
    except ConfigurationError:
        return False
    return True


def _prompts(folder: Path) -> dict[str, str]:
    """What sentence-transformers puts before texts, by name, its default first."""
    if not model_file.exists(folder, _PROMPTS):
        return {}
    config = model_file.read_json(folder, _PROMPTS, dict)
    given, default = config.get("prompts"), config.get("default_prompt_name")
    known = {name: text for name, text in given.items() if isinstance(text, str)} if isinstance(given, dict) else {}
    if known and default not in known:  # then nothing is put before a text that names no prompt
        default = next((name for name, text in known.items() if not text), _NO_PROMPT)
        known.setdefault(default, "")
    return {name: known[name] for name in sorted(known, key=lambda name: name != default)}


def _is_same_model(known: ModelSpec, origin: str, brought: Brought) -> bool:
    if known.path is not None:
        return brought.hub is None and known.path.resolve() == Path(origin).resolve()
    return known.hub == brought.hub and known.revision in (None, "main", brought.revision)
