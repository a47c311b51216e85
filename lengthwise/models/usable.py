"""Whether a model of ``models.toml`` can be served, as its files say, and what to do if not.

Reads small files only, and imports no engine. What only loading the weights shows, a worker alone finds out.
"""

from dataclasses import dataclass
from pathlib import Path

from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.models import inspection
from lengthwise.models.catalog import ModelSpec

#: Every ``ModelUnusable.code``, and what it means (docs/models.md lists them).
CODES = {
    "folder_missing": "the folder of path does not exist",
    "not_fetched": "the model of the hub is not on this machine as a whole",
    "manifest_differs": "a file is not the one that manifest.json lists",
    "config_unreadable": "config.json is missing, or it or generation_config.json has something wrong in it",
    "tokenizer_missing": "the folder has no tokenizer.json",
    "tokenizer_unreadable": "tokenizer.json is no tokenizer",
    "weights_missing": "the folder has no weights, or not all of them",
    "weights_pickled": "the folder has only pickled weights",
    "weights_quantized": "the weights are quantized in a way that is not read",
    "foreign_code": "config.json asks for code of the model's own, which transformers lacks",
    "wrong_architecture": "the architecture cannot serve a kind of the model, or none at all",
    "wrong_engine": "the engine cannot serve a kind of the model",
    "wrong_pooling": "an embedder's files ask for a pooling or layers that lengthwise does not know",
    "wrong_labels": "a classifier's labels are no categories",
    "harmless_missing": "exclusive labels, of which none is named harmless",
    "harmless_unknown": "harmless names labels that the model does not have",
    "harmless_all": "harmless names every label",
    "template_missing": "the folder has no chat template that can be read",
    "engine_missing": "the engine is not installed",
    "server_missing": "the table of the server is missing, or the variable of its key",
}

#: When each file of a folder, and the folder itself, was changed.
_Stamp = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    spec: ModelSpec
    stamp: _Stamp
    is_local: bool
    found: ModelUnusable | None


_verdicts: dict[str, _Verdict] = {}


def unusable(spec: ModelSpec, *, is_local: bool = False) -> ModelUnusable | None:
    """Why the model cannot be served; None if nothing speaks against it.

    ``is_local``: whether workers run on this machine, so that engine and weights must be here too. The files are looked
    at again once one of them has changed; otherwise this costs a dozen calls of ``stat``.
    """
    stamp = _stamp(spec)
    known = _verdicts.get(spec.name)
    if known is not None and known.spec is spec and (known.stamp, known.is_local) == (stamp, is_local):
        return known.found
    spec.forget()
    try:
        inspection.inspect(spec, is_local)
        found = None
    except ModelUnusable as error:
        found = error
    _verdicts[spec.name] = _Verdict(spec, stamp, is_local, found)
    return found


def check(spec: ModelSpec, *, is_local: bool = False) -> None:
    """Raises ``ModelUnusable`` if the model cannot be served (see ``unusable``)."""
    if (found := unusable(spec, is_local=is_local)) is not None:
        # A new one, since each raise adds to the traceback of the one that is kept.
        raise ModelUnusable(found.model, found.code, found.reason, found.remedy)


def _stamp(spec: ModelSpec) -> _Stamp:
    try:
        folder = spec.folder
    except ConfigurationError:
        return ()
    return (_changed_at(folder), *(_changed_at(folder / name) for name in inspection.FILES))


def _changed_at(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
