"""Brings a published model's configuration and weights into the form that the engine loads."""

from pathlib import Path
from tempfile import TemporaryDirectory

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest, model_file, model_shapes, weights
from worker.importing.weights import adapters, child, configuration, fit, forms
from worker.importing.weights.forms import Form, Found

_GGUF = b"GGUF"
#: How many times a file's size its conversion may take in memory. Pickles are mapped or read, and their parts copied.
#: GGUF with two bits a weight becomes fp32, twice while the model is built; FP4 becomes bf16.
_GROWTH_OF_PICKLES, _GROWTH_OF_GGUF, _GROWTH_OF_QUANTIZED, _GROWTH_OF_MERGED = 2, 36, 12, 4


def supply(source: Path, folder: Path) -> list[str]:
    """Puts ``config.json``, ``generation_config.json`` and the weights of the model in ``source`` into ``folder``.

    ``source`` is a folder or a GGUF file. The weights become safetensors: files that are so already are linked, by
    their absolute path, and others are converted, those of the layers behind an embedder's pooling included. Of GGUF,
    ``tokenizer.json``, ``tokenizer_config.json`` and the chat template are written too, and so need no import of their
    own; of an adapter, the tokenizer is in its own folder or in ``adapters.base``. Returns warnings, as lines for
    people. Raises ``ConfigurationError`` with one line that says what is wrong and what mends it. Writes nothing
    outside of ``folder``, in which an error may leave files.
    """
    if source.is_file():
        return _from_gguf(source, folder)
    if not source.is_dir():
        raise ConfigurationError(f"{source} is neither a folder nor a GGUF file")
    if manifest.exists(source):
        manifest.verify(source)
    if (source / model_shapes.CONFIG).is_file():  # a model that cannot be served needs no word about its weights
        configuration.read(source)
    found = forms.find(source)
    if found.form is Form.GGUF:
        return _from_gguf(found.files[0], folder)
    if found.form is Form.ADAPTER:
        return _from_adapter(source, found, folder)
    return _from_folder(source, found, folder)


def _from_folder(source: Path, found: Found, folder: Path) -> list[str]:
    config = configuration.read(source)
    if found.form is Form.PICKLED:
        if configuration.is_quantized(config):
            raise ConfigurationError("its quantized weights are pickled: take a copy of the model with safetensors")
        _unpickle(found, folder, is_tied=config.get("tie_word_embeddings") is not False)
    else:
        fit.check_files(found.files)
    if configuration.is_quantized(config):
        request = {"source": str(source.resolve()), "folder": str(folder.resolve())}
        child.convert("dequantized:convert", request, "its weights", found.n_bytes, _GROWTH_OF_QUANTIZED)
        config = configuration.without_quantization(config)
    elif found.form is Form.SAFETENSORS:
        _link_weights(source, found, folder)
    _unpickle_layers(source, folder)
    configuration.place(source, folder, config)
    told = fit.warnings(source, folder)
    if (source / forms.ADAPTER).is_file():
        told.append(f"the adapter of its {forms.ADAPTER} is not merged: its folder has the weights of a whole model")
    return told


def _unpickle(found: Found, folder: Path, *, is_tied: bool) -> None:
    files = [str(path.absolute()) for path in found.files]
    request = {"files": files, "folder": str(folder.resolve()), "is_tied": is_tied}
    child.convert("pickled:convert", request, found.files[0].name, found.n_bytes, _GROWTH_OF_PICKLES)


def _unpickle_layers(source: Path, folder: Path) -> None:
    """Converts the layers behind an embedder's pooling that are pickled."""
    for name in model_file.DENSE_WEIGHTS:
        pickle = (source / name).with_name(forms.PICKLE)
        if (source / name).is_file() or not pickle.is_file():
            continue
        place = (folder / name).parent
        place.mkdir()
        try:
            forms.check_whole(pickle)
            _unpickle(Found(Form.PICKLED, [pickle]), place, is_tied=False)
        except ConfigurationError as error:
            raise ConfigurationError(f"{place.name}: {error}") from None


def _link_weights(source: Path, found: Found, folder: Path) -> None:
    for path in found.files:
        configuration.link(path, folder)
    if not (source / weights.WEIGHTS).is_file():
        configuration.link(source / weights.INDEX, folder)


def _from_gguf(source: Path, folder: Path) -> list[str]:
    forms.check_whole(source)
    with source.open("rb") as file:
        if file.read(len(_GGUF)) != _GGUF:
            raise ConfigurationError(f"{source.name} is no GGUF file: {forms.AGAIN}")
    for package in ("gguf", "accelerate"):
        configuration.need(package, "GGUF files")
    request = {"source": str(source.resolve()), "folder": str(folder.resolve())}
    made = child.convert("gguf:convert", request, source.name, source.stat().st_size, _GROWTH_OF_GGUF)
    configuration.read(folder)
    return [*made["warnings"], *fit.warnings(folder, folder)]


def _from_adapter(source: Path, found: Found, folder: Path) -> list[str]:
    adapter = adapters.read(source)
    origin = adapters.base(adapter)
    with TemporaryDirectory(dir=folder) as name:
        base, changes = Path(name) / "base", Path(name) / "changes"
        base.mkdir()
        changes.mkdir()
        told = _base(origin, base)
        config = configuration.read(base)
        [file] = found.files
        if file.suffix == ".bin":
            _unpickle(found, changes, is_tied=False)
            file = changes / weights.WEIGHTS
        fit.check_files([file])
        files = weights.weight_files(base)
        merging = {
            "base": [str(path.absolute()) for path in files],
            "adapter": str(file.absolute()),
            "alpha": adapter.lora_alpha,
            "rslora": adapter.use_rslora,
            "fan_in_fan_out": adapter.fan_in_fan_out,
            "folder": str(folder.resolve()),
        }
        n_bytes = found.n_bytes + sum(path.stat().st_size for path in files)
        made = child.convert("merged:convert", merging, "the adapter", n_bytes, _GROWTH_OF_MERGED)
        if made["has_new_head"]:
            config["tie_word_embeddings"] = False
        configuration.place(origin, folder, config)
        return told + fit.warnings(origin, folder)


def _base(origin: Path, folder: Path) -> list[str]:
    try:
        if (origin / forms.ADAPTER).is_file() and not (origin / model_shapes.CONFIG).is_file():
            raise ConfigurationError("it is an adapter itself: take the merged model")
        return supply(origin, folder)
    except ConfigurationError as error:
        raise ConfigurationError(f"its base model in {origin} cannot be imported: {error}") from None
