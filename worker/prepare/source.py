"""Finds the model that is to be prepared, and how it is spoken to."""

import re
from pathlib import Path

from lengthwise import settings
from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import Catalog, ModelSpec

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def resolve(source: str, revision: str | None) -> ModelSpec:
    """The model of this name in ``models.toml``, in this folder, or of this hub id in the local hub cache.

    A folder or hub id that ``models.toml`` names is spoken to as it says there. Raises ``ConfigurationError`` where
    there is no such model, or not on this machine: nothing is downloaded.
    """
    catalog = Catalog.read(settings.get().models)
    spec = catalog.models.get(source) or _found(source, revision)
    if spec.engine != "torch":
        raise ConfigurationError(f"model {spec.name}: only models of the engine torch are prepared, not {spec.engine}")
    folder = spec.folder.resolve()
    # Only those that lie here: asking for another's folder may fail.
    listed = (known for known in catalog.models.values() if _lies_in(known, spec, folder))
    return next(listed, spec)


def _found(source: str, revision: str | None) -> ModelSpec:
    path = Path(source)
    if path.is_dir():
        return ModelSpec(name=path.resolve().name, path=path)
    if _HUB_ID.fullmatch(source) and ".." not in source:
        return ModelSpec(name=source.rpartition("/")[2], hub=source, revision=revision or "main")
    raise ConfigurationError("SOURCE is neither a model of models.toml, nor a folder, nor a hub id such as owner/name")


def _lies_in(known: ModelSpec, spec: ModelSpec, folder: Path) -> bool:
    if known.path is not None:
        return known.path.resolve() == folder
    return (known.hub, known.revision) == (spec.hub, spec.revision)
