"""What each of our own engines needs of a model's files."""

import importlib.util
import os
from collections.abc import Callable

from lengthwise.errors import ConfigurationError
from lengthwise.models import architecture, fitting, model_file, model_shapes, weights
from lengthwise.models.architecture import Architecture
from lengthwise.models.inspection.model_files import ANOTHER, ModelFiles, convert_tokenizer, fetch_again, importing
from lengthwise.models.labels import Labels
from lengthwise.models.pooling import Pooling
from lengthwise.models.published import native_types, quantized
from lengthwise.models.published.naming import said


def _check_torch(files: ModelFiles) -> None:
    spec, config = files.spec, files.config
    if "auto_map" in config and config.get("model_type") not in native_types.NATIVE_TYPES:
        raise files.refusal("foreign_code", "its config.json asks for code of its own (auto_map)", ANOTHER)
    try:
        found = architecture.read(config, files.folder)
    except ConfigurationError as error:
        reason = f"{error}, and cannot serve {', '.join(spec.kinds) or 'any kind'}"
        raise files.refusal("wrong_architecture", reason, ANOTHER) from None
    fitting.check(spec, architecture.class_name(config), found, _labels(files, found))
    if found is Architecture.EMBEDDER:
        _check_pooling(files)
    _check_weights(files)


def _labels(files: ModelFiles, found: Architecture) -> Labels | None:
    if found is not Architecture.CLASSIFIER:
        return None
    try:
        return Labels.of(files.config)
    except ConfigurationError as error:
        raise files.refusal("wrong_labels", str(error), fetch_again(files.spec)) from None


def _check_pooling(files: ModelFiles) -> None:
    try:
        pooling = Pooling.read(files.folder)
    except ConfigurationError as error:
        raise files.refusal("wrong_pooling", f"its vectors cannot be computed: {error}", ANOTHER) from None
    if pooling.mode == "lasttoken":
        _check_last_token(files)
    missing = [layer.weights for layer in pooling.layers if not model_file.exists(files.folder, layer.weights)]
    if missing and files.is_local:
        reason = f"its folder has no {missing[0]}"
        raise files.refusal("weights_missing", reason, fetch_again(files.spec))


def _check_last_token(files: ModelFiles) -> None:
    """Refuses a model that is trained to read an end token, which its tokenizer does not write."""
    from lengthwise.models import tokenizer

    found = model_shapes.read_tokenizer(files.folder)
    end = found.tokens().get("eos_token")
    if found.add_eos_token is not True or end is None:
        return
    known = tokenizer.ModelTokenizer(files.folder)  # not the one in use: its file may have been mended
    if known.encode([""], framed=True)[0][-1:] != known.special(end):
        reason = "its tokenizer_config.json asks for the end token behind a text, which its tokenizer.json does not add"
        raise files.refusal("wrong_pooling", reason, convert_tokenizer(files.spec))


def _check_weights(files: ModelFiles) -> None:
    _check_quantization(files)
    if weights.has_safetensors(files.folder):
        if files.is_local:  # the API's machine needs no weights
            _check_shards(files)
        return
    if weights.has_pickles(files.folder):
        reason = f"its weights are pickled, which can run code, and its folder has no {weights.WEIGHTS}"
        raise files.refusal("weights_pickled", reason, importing(files.spec))
    if files.is_local:
        reason = f"its folder has no {weights.WEIGHTS}"
        raise files.refusal("weights_missing", reason, fetch_again(files.spec))


def _check_shards(files: ModelFiles) -> None:
    try:
        missing = [path.name for path in weights.weight_files(files.folder) if not path.is_file()]
    except ConfigurationError as error:
        raise files.refusal(
            "weights_missing", f"its weights cannot be found: {error}", fetch_again(files.spec)
        ) from None
    if missing:
        more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
        reason = f"its folder has no {said(missing[0])}{more}, which its {weights.INDEX} lists"
        raise files.refusal("weights_missing", reason, fetch_again(files.spec))


def _check_quantization(files: ModelFiles) -> None:
    if (name := quantized.unreadable(files.config, files.folder)) is not None:
        raise files.refusal("weights_quantized", quantized.reason(name), quantized.REMEDY)
    is_missing = importlib.util.find_spec(quantized.PACKAGE) is None
    if files.is_local and is_missing and quantized.method(files.config) is not None:
        reason = f"its quantized weights need {quantized.PACKAGE}"
        raise files.refusal("engine_missing", reason, f'pip install "lengthwise[{quantized.EXTRA}]"')


def _check_openai(files: ModelFiles) -> None:
    server = files.spec.server
    if server is None:
        remedy = f"write the table [models.{files.spec.name}.server] into models.toml"
        raise files.refusal("server_missing", "the engine openai needs a server", remedy)
    if files.is_local and server.key_variable and not os.environ.get(server.key_variable):
        reason = f"the variable {server.key_variable} holds no key"
        raise files.refusal("server_missing", reason, f"set {server.key_variable} where the workers run")
    fitting.check(files.spec, "the engine openai", Architecture.DECODER_ONLY)


def _check_ctranslate2(files: ModelFiles) -> None:
    fitting.check(files.spec, "the engine ctranslate2", Architecture.ENCODER_DECODER, may_sample=False)
    if files.is_local and not model_file.exists(files.folder, weights.CTRANSLATE2):
        remedy = "ct2-transformers-converter --model FOLDER --output_dir FOLDER/ctranslate2"
        raise files.refusal("weights_missing", f"its folder has no {weights.CTRANSLATE2}", remedy)


def _check_echo(files: ModelFiles) -> None:
    fitting.check(files.spec, "the engine echo", Architecture.ENCODER_DECODER)


#: What is known of our own engines without loading them. Of other packages' engines, nothing is.
CHECKS: dict[str, Callable[[ModelFiles], None]] = {
    "torch": _check_torch,
    "openai": _check_openai,
    "ctranslate2": _check_ctranslate2,
    "echo": _check_echo,
}
