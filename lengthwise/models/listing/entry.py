"""The models of ``models.toml`` as this machine has them. Loads no model."""

from dataclasses import dataclass
from pathlib import Path

from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.models import weights
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.listing import load_report
from lengthwise.models.listing.load_report import LoadFigures
from lengthwise.models.published import licence
from lengthwise.models.usable import unusable


@dataclass(frozen=True, slots=True)
class Unserved:
    """Why a model cannot be served, and what mends it; the codes are those of ``usable.CODES``."""

    code: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model. What its files do not say is None."""

    name: str
    kinds: tuple[str, ...]
    #: The pairs of source and target language, of the kinds that have them.
    pairs: dict[str, tuple[tuple[str, str], ...]]
    engine: str
    quantization: str
    #: Where its files are; None if they are not on this machine.
    folder: str | None
    #: Of its files.
    weights_bytes: int | None
    #: As ``model add``, ``model prepare`` or ``model check`` measured them.
    load: LoadFigures | None
    revision: str | None
    licence: str | None
    unusable: Unserved | None


def entries(path: Path, *, is_local: bool) -> list[ModelEntry]:
    """The models of the file ``path``, in its order. ``is_local``: whether workers run on this machine.

    Raises ``ConfigurationError`` if the file is not valid.
    """
    return [_entry(spec, is_local) for spec in Catalog.read(path).models.values()]


def _entry(spec: ModelSpec, is_local: bool) -> ModelEntry:
    refusal, folder = unusable(spec, is_local=is_local), _folder(spec)
    return ModelEntry(
        spec.name,
        spec.kinds,
        {kind: tuple(pairs) for kind, options in spec.kind_options.items() if (pairs := options.language_pairs())},
        spec.engine,
        spec.quantization,
        None if folder is None else str(folder),
        None if folder is None else _weights_bytes(folder, spec.engine),
        None if folder is None else load_report.read(folder),
        _revision(spec),
        None if folder is None else licence.of(folder),
        None if refusal is None else _unserved(refusal),
    )


def _folder(spec: ModelSpec) -> Path | None:
    try:
        return spec.folder
    except ConfigurationError:
        return None


def _revision(spec: ModelSpec) -> str | None:
    try:
        return spec.made_by
    except ConfigurationError:
        return None


def _weights_bytes(folder: Path, engine: str) -> int | None:
    try:
        if engine == "ctranslate2":
            return (folder / weights.CTRANSLATE2).stat().st_size
        return weights.weights_bytes(folder)
    except (ConfigurationError, OSError):
        return None


def _unserved(refusal: ModelUnusable) -> Unserved:
    return Unserved(refusal.code, refusal.reason, refusal.remedy)
