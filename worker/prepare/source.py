"""Finds the model to prepare, and its options."""

import re
from pathlib import Path

from lengthwise import settings
from lengthwise.errors import ConfigurationError
from lengthwise.kinds import KINDS
from lengthwise.models import usable
from lengthwise.models.catalog import Catalog, KindOptions, ModelSpec
from lengthwise.models.labels import Labels
from worker.engine.protocol import Architecture
from worker.engine.transformer.weights import loading
from worker.prepare.sample import fitting_kinds

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def resolve(source: str, revision: str | None) -> ModelSpec:
    """The model that ``source`` names: a name in ``models.toml``, a folder, or a hub id in the local hub cache.

    If ``models.toml`` names the same folder or hub id, its options apply. Raises ``ConfigurationError`` if there is no
    such model on this machine. Nothing is downloaded.
    """
    catalog = Catalog.read(settings.get().models)
    spec = catalog.models.get(source) or _spec_of(source, revision)
    if spec.engine != "torch":
        raise ConfigurationError(f"model {spec.name}: only models of the engine torch are prepared, not {spec.engine}")
    folder = spec.folder.resolve()
    # Compares paths and hub ids, because looking up the folder of a hub model may fail.
    listed = (known for known in catalog.models.values() if _is_same_model(known, spec, folder))
    return next(listed, spec)


def with_kind(spec: ModelSpec) -> ModelSpec:
    """``spec`` with a table for its usual kind, if ``models.toml`` gives it none and its files suffice for one.

    Raises ``ModelUnusable`` if serving would refuse the model.
    """
    if not spec.kinds:
        usable.check(spec, is_local=True)
        architecture = loading.architecture(spec)
        name = fitting_kinds(architecture)[0]
        options_type = KINDS[name].options_type
        if architecture is Architecture.CLASSIFIER:
            labels = Labels.of(spec.config)
            spec = _serving(spec, {name: options_type().proposed(labels)})
        elif architecture is Architecture.EMBEDDER:
            spec = _serving(spec, {name: options_type()})
    usable.check(spec, is_local=True)
    return spec


def _serving(spec: ModelSpec, options: dict[str, KindOptions]) -> ModelSpec:
    return spec.model_copy(update={"kind_options": options})


def _spec_of(source: str, revision: str | None) -> ModelSpec:
    path = Path(source)
    if path.is_dir():
        return ModelSpec(name=path.resolve().name, path=path)
    if _HUB_ID.fullmatch(source) and ".." not in source:
        return ModelSpec(name=source.rpartition("/")[2], hub=source, revision=revision or "main")
    raise ConfigurationError("SOURCE is neither a model of models.toml, nor a folder, nor a hub id such as owner/name")


def _is_same_model(known: ModelSpec, spec: ModelSpec, folder: Path) -> bool:
    if known.path is not None:
        return known.path.resolve() == folder
    return (known.hub, known.revision) == (spec.hub, spec.revision)
