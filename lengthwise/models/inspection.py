"""Looks through a model's small files for what would keep an engine from serving it."""

import importlib.util
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lengthwise import entry_points
from lengthwise.errors import ConfigurationError, ModelUnusable
from lengthwise.models import architecture, fitting, manifest, model_file, model_shapes, weights
from lengthwise.models.architecture import Architecture
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.labels import Labels
from lengthwise.models.pooling import Pooling
from lengthwise.models.published import native_types, quantized

#: The packages that our own engines need.
_PACKAGES = {"torch": ("torch", "transformers"), "ctranslate2": ("ctranslate2",)}
#: All files that are looked at.
FILES = (manifest.MANIFEST, *model_file.NAMES, model_file.TEMPLATES, weights.WEIGHTS, weights.CTRANSLATE2)


class _Files(NamedTuple):
    """A model's folder and its ``config.json``. ``is_local``: whether engine and weights must be on this machine."""

    spec: ModelSpec
    folder: Path
    config: dict[str, Any]
    is_local: bool

    def refusal(self, code: str, reason: str, remedy: str) -> ModelUnusable:
        return ModelUnusable(self.spec.name, code, reason, remedy)


def inspect(spec: ModelSpec, is_local: bool) -> None:
    """Raises ``ModelUnusable`` if the model cannot be served. ``is_local``: as in ``usable.unusable``."""
    if is_local:
        _check_engine(spec)
    folder = _folder(spec)
    _check_manifest(spec, folder)
    files = _Files(spec, folder, _config(spec, folder), is_local)
    _check_tokenizer(files)
    if (of_engine := _CHECKS.get(spec.engine)) is not None:
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
            raise ModelUnusable(spec.name, "not_fetched", "it is not on this machine", _download(spec)) from None
        reason = "the folder that models.toml names does not exist"
        remedy = "copy the model's folder there, or correct path in models.toml"
        raise ModelUnusable(spec.name, "folder_missing", reason, remedy) from None


def _check_manifest(spec: ModelSpec, folder: Path) -> None:
    try:
        model_file.verify(folder)
    except ConfigurationError as error:
        reason = f"its files are not those of its {manifest.MANIFEST}: {str(error).removesuffix(manifest.REMEDY)}"
        remedy = f"{_fetch_again(spec)}; {manifest.TRUST}"
        raise ModelUnusable(spec.name, "manifest_differs", reason, remedy) from None


def _config(spec: ModelSpec, folder: Path) -> dict[str, Any]:
    try:
        found = model_shapes.read_config(folder)
        model_shapes.read_generation(folder)
        _ = spec.context  # raises if it is none
        return found
    except ConfigurationError as error:
        reason = f"a file of its folder cannot be used: {str(error).removeprefix(f'model {spec.name}: ')}"
        raise ModelUnusable(spec.name, "config_unreadable", reason, _fetch_again(spec)) from None


def _check_tokenizer(files: _Files) -> None:
    path = files.folder / "tokenizer.json"
    if not path.is_file():
        reason = "tokenizer.json does not exist in its folder"
        raise files.refusal("tokenizer_missing", reason, _import(files.spec))
    from lengthwise.models import tokenizer  # which is not installed where only the command line is

    try:
        tokenizer.read_tried(files.folder)
    except ConfigurationError:  # half copied, or the pointer that git keeps instead of a large file
        reason = "tokenizer.json in its folder is no tokenizer that can be read and used"
        raise files.refusal("tokenizer_unreadable", reason, _fetch_again(files.spec)) from None


def _check_template(files: _Files) -> None:
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


def _check_torch(files: _Files) -> None:
    spec, config = files.spec, files.config
    if "auto_map" in config and config.get("model_type") not in native_types.NATIVE_TYPES:
        raise files.refusal("foreign_code", "its config.json asks for code of its own (auto_map)", _ANOTHER)
    try:
        found = architecture.read(config, files.folder)
    except ConfigurationError as error:
        reason = f"{error}, and cannot serve {', '.join(spec.kinds) or 'any kind'}"
        raise files.refusal("wrong_architecture", reason, _ANOTHER) from None
    fitting.check(spec, architecture.class_name(config), found, _labels(files, found))
    if found is Architecture.EMBEDDER:
        _check_pooling(files)
    _check_weights(files)


def _labels(files: _Files, found: Architecture) -> Labels | None:
    if found is not Architecture.CLASSIFIER:
        return None
    try:
        return Labels.of(files.config)
    except ConfigurationError as error:
        raise files.refusal("wrong_labels", str(error), _fetch_again(files.spec)) from None


def _check_pooling(files: _Files) -> None:
    try:
        pooling = Pooling.read(files.folder)
    except ConfigurationError as error:
        raise files.refusal("wrong_pooling", f"its vectors cannot be computed: {error}", _ANOTHER) from None
    if pooling.mode == "lasttoken":
        _check_last_token(files)
    missing = [layer.weights for layer in pooling.layers if not model_file.exists(files.folder, layer.weights)]
    if missing and files.is_local:
        reason = f"its folder has no {missing[0]}"
        raise files.refusal("weights_missing", reason, _fetch_again(files.spec))


def _check_last_token(files: _Files) -> None:
    """Refuses a model that is trained to read an end token, which its tokenizer does not write."""
    from lengthwise.models import tokenizer

    found = model_shapes.read_tokenizer(files.folder)
    end = found.tokens().get("eos_token")
    if found.add_eos_token is not True or end is None:
        return
    known = tokenizer.ModelTokenizer(files.folder)  # not the one in use: its file may have been mended
    if known.encode([""], framed=True)[0][-1:] != known.special(end):
        reason = "its tokenizer_config.json asks for the end token behind a text, which its tokenizer.json does not add"
        raise files.refusal("wrong_pooling", reason, _convert_tokenizer(files.spec))


def _check_weights(files: _Files) -> None:
    _check_quantization(files)
    if weights.has_safetensors(files.folder):
        return
    if weights.has_pickles(files.folder):
        reason = f"its weights are pickled, which can run code, and its folder has no {weights.WEIGHTS}"
        raise files.refusal("weights_pickled", reason, _import(files.spec))
    if files.is_local:  # the API's machine needs no weights
        reason = f"its folder has no {weights.WEIGHTS}"
        raise files.refusal("weights_missing", reason, _fetch_again(files.spec))


def _check_quantization(files: _Files) -> None:
    if (name := quantized.unreadable(files.config, files.folder)) is not None:
        raise files.refusal("weights_quantized", quantized.reason(name), quantized.REMEDY)
    is_missing = importlib.util.find_spec(quantized.PACKAGE) is None
    if files.is_local and is_missing and quantized.method(files.config) is not None:
        reason = f"its quantized weights need {quantized.PACKAGE}"
        raise files.refusal("engine_missing", reason, f'pip install "lengthwise[{quantized.EXTRA}]"')


def _check_openai(files: _Files) -> None:
    server = files.spec.server
    if server is None:
        remedy = f"write the table [models.{files.spec.name}.server] into models.toml"
        raise files.refusal("server_missing", "the engine openai needs a server", remedy)
    if files.is_local and server.key_variable and not os.environ.get(server.key_variable):
        reason = f"the variable {server.key_variable} holds no key"
        raise files.refusal("server_missing", reason, f"set {server.key_variable} where the workers run")
    fitting.check(files.spec, "the engine openai", Architecture.DECODER_ONLY)


def _check_ctranslate2(files: _Files) -> None:
    fitting.check(files.spec, "the engine ctranslate2", Architecture.ENCODER_DECODER, may_sample=False)
    if files.is_local and not model_file.exists(files.folder, weights.CTRANSLATE2):
        remedy = "ct2-transformers-converter --model FOLDER --output_dir FOLDER/ctranslate2"
        raise files.refusal("weights_missing", f"its folder has no {weights.CTRANSLATE2}", remedy)


def _check_echo(files: _Files) -> None:
    fitting.check(files.spec, "the engine echo", Architecture.ENCODER_DECODER)


#: What is known of our own engines without loading them. Of other packages' engines, nothing is.
_CHECKS: dict[str, Callable[[_Files], None]] = {
    "torch": _check_torch,
    "openai": _check_openai,
    "ctranslate2": _check_ctranslate2,
    "echo": _check_echo,
}

_ANOTHER = "name another model in models.toml"


def _download(spec: ModelSpec) -> str:
    return f"hf download {shlex.quote(str(spec.hub))} --revision {shlex.quote(str(spec.revision))}"


def _fetch_again(spec: ModelSpec) -> str:
    return _download(spec) if spec.hub is not None else "copy the model's files into its folder again"


def _import(spec: ModelSpec) -> str:
    """The command that brings the model into the form that is served, in a folder of its own, with the same options."""
    if spec.engine != "torch":  # whose folder may hold a tokenizer alone
        return _convert_tokenizer(spec)
    if spec.hub is None:
        origin, name = "FOLDER", spec.path.name if spec.path is not None else ""
    else:
        origin = f"{shlex.quote(spec.hub)} --revision {shlex.quote(str(spec.revision))}"
        name = spec.hub.rpartition("/")[2]
    own = " --as NAME" if name == spec.name else ""  # each name stands once in models.toml
    return f"lengthwise model add {origin}{own}, then remove [models.{spec.name}] from models.toml"


def _convert_tokenizer(spec: ModelSpec) -> str:
    """The command that writes tokenizer.json by transformers' own converters."""
    program = f"transformers.AutoTokenizer.from_pretrained('{spec.hub or 'FOLDER'}').save_pretrained('FOLDER')"
    return f'python -c "import transformers; {program}"'
