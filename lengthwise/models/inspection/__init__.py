"""Looks through a model's small files for what would keep an engine from serving it."""

import importlib.util
from pathlib import Path
from typing import Any

from lengthwise import entry_points
from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.models import hub_cache, manifest, model_file, model_shapes, weights
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.inspection.engines import CHECKS
from lengthwise.models.inspection.model_files import ModelFiles, download, fetch_again, importing
from lengthwise.models.published.naming import said

#: The packages that our own engines need.
_PACKAGES = {"torch": ("torch", "transformers"), "ctranslate2": ("ctranslate2",)}
#: All files that are looked at.
FILES = (manifest.MANIFEST, *model_file.NAMES, model_file.TEMPLATES, weights.WEIGHTS, weights.CTRANSLATE2)


def inspect(spec: ModelSpec, is_local: bool) -> None:
    """Raises ``ModelUnusable`` if the model cannot be served. ``is_local``: as in ``usable.unusable``."""
    if is_local:
        _check_engine(spec)
    folder = _folder(spec)
    _check_manifest(spec, folder)
    files = ModelFiles(spec, folder, _config(spec, folder), is_local)
    _check_tokenizer(files)
    if (of_engine := CHECKS.get(spec.engine)) is not None:
        of_engine(files)
    if any(options.needs_chat_template for options in spec.kind_options.values()):
        _check_template(files)


def _check_engine(spec: ModelSpec) -> None:
    known = entry_points.names(entry_points.ENGINES)
    if spec.engine not in known:
        reason = f"there is no engine {spec.engine!r}; known engines: {', '.join(known) or 'none'}"
        remedy = "install the package of this engine, or name another engine in models.toml"
        raise ModelUnusable(spec.name, "engine_missing", reason, remedy)
    for package in _PACKAGES.get(spec.engine, ()):
        if importlib.util.find_spec(package) is None:
            extra = "worker" if spec.engine == "torch" else spec.engine
            reason = f"the engine {spec.engine!r} needs {package}"
            raise ModelUnusable(spec.name, "engine_missing", reason, f'pip install "lengthwise[{extra}]"')


def _folder(spec: ModelSpec) -> Path:
    try:
        return spec.folder
    except ConfigurationError:
        if spec.hub is not None:
            raise _not_fetched(spec, spec.hub) from None
        reason = "the folder that models.toml names does not exist"
        remedy = "copy the model's folder there, or correct path in models.toml"
        raise ModelUnusable(spec.name, "folder_missing", reason, remedy) from None


def _not_fetched(spec: ModelSpec, hub_id: str) -> ModelUnusable:
    if not hub_cache.is_id(hub_id):
        remedy = "correct hub in models.toml: it is a name as owner/name, and a folder is named by path"
        return ModelUnusable(spec.name, "not_fetched", f"its hub {said(hub_id)} is no hub id", remedy)
    return ModelUnusable(spec.name, "not_fetched", "it is not on this machine as a whole", download(spec))


def _check_manifest(spec: ModelSpec, folder: Path) -> None:
    try:
        model_file.verify(folder)
    except ConfigurationError as error:
        reason = f"its files are not those of its {manifest.MANIFEST}: {str(error).removesuffix(manifest.REMEDY)}"
        remedy = f"{fetch_again(spec)}; {manifest.TRUST}"
        raise ModelUnusable(spec.name, "manifest_differs", reason, remedy) from None


def _config(spec: ModelSpec, folder: Path) -> dict[str, Any]:
    try:
        found = model_shapes.read_config(folder)
        model_shapes.read_generation(folder)
        _ = spec.context  # raises if it is none
        return found
    except ConfigurationError as error:
        reason = f"a file of its folder cannot be used: {str(error).removeprefix(f'model {spec.name}: ')}"
        raise ModelUnusable(spec.name, "config_unreadable", reason, fetch_again(spec)) from None


def _check_tokenizer(files: ModelFiles) -> None:
    path = files.folder / "tokenizer.json"
    if not path.is_file():
        reason = "tokenizer.json does not exist in its folder"
        raise files.refusal("tokenizer_missing", reason, importing(files.spec))
    from lengthwise.models import tokenizer  # which is not installed where only the command line is

    try:
        tokenizer.read_tried(files.folder)
    except ConfigurationError:  # half copied, or the pointer that git keeps instead of a large file
        reason = "tokenizer.json in its folder is no tokenizer that can be read and used"
        raise files.refusal("tokenizer_unreadable", reason, fetch_again(files.spec)) from None


def _check_template(files: ModelFiles) -> None:
    from lengthwise.models import template  # Jinja is not installed where only the command line is

    needing = [options for options in files.spec.kind_options.values() if options.needs_chat_template]
    try:
        for options in needing:
            template.load(files.folder, options.template_name)
    except ConfigurationError:
        kinds = ", ".join(name for name, options in files.spec.kind_options.items() if options.needs_chat_template)
        named = {options.template_name for options in needing} - {template.DEFAULT}
        which = f"chat template {', '.join(sorted(named))}" if named else "chat template"
        reason = f"its folder has no {which} that can be read, which {kinds} needs"
        remedy = f"write chat_template.jinja into its folder, or serve generate instead of {kinds}"
        raise files.refusal("template_missing", reason, remedy) from None
