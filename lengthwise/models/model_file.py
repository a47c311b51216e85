"""Reads the small files of a model's folder. They may come from anyone, so their size and their form are checked.

Errors name the file as it is called in the folder, and never the folder: callers see some of them.
"""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest, plain_file

_Form = TypeVar("_Form", dict, list)  # type: ignore[type-arg]
_Shape = TypeVar("_Shape", bound=BaseModel)

_NAMES = {dict: "object", list: "array"}
#: A file may have so many bytes. The largest ``config.json`` that is published, with 20,000 labels, has 1 MiB.
_MOST_BYTES = 8 << 20
#: Those that list words or tensors are larger: a tokenizer of 260,000 words has 34 MB.
_MOST_BYTES_OF = {"tokenizer.json": 256 << 20}
_MOST_BYTES_OF |= dict.fromkeys(("model.safetensors.index.json", "pytorch_model.bin.index.json"), 64 << 20)
#: The linear layers behind an embedder's pooling. One of 3072 × 768 numbers in fp32 has 9 MB.
_DENSE = [(f"{place}_Dense/config.json", f"{place}_Dense/model.safetensors") for place in (2, 3, 4)]
#: Their weights, as safetensors.
DENSE_WEIGHTS = tuple(weights for _, weights in _DENSE)
_MOST_BYTES_OF |= dict.fromkeys(DENSE_WEIGHTS, 64 << 20)
_MOST_BYTES_OF |= dict.fromkeys(
    ("shared_vocabulary.json", "source_vocabulary.json", "target_vocabulary.json"), 64 << 20
)

#: The folder of further chat templates, each in a file of its name.
TEMPLATES = "additional_chat_templates"
#: What sentence-transformers calls its file about inputs. The name does not tell the model's family.
SENTENCES = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
#: What lists sentence-transformers' modules of an embedder.
MODULES = "modules.json"
#: The files of sentence-transformers: how the vectors of an embedder's tokens become one vector.
VECTOR_FILES = (MODULES, "1_Pooling/config.json", *(name for pair in _DENSE for name in pair), *SENTENCES)

#: What readers of a model's folder look for, beside the weights. A manifest must list those that exist.
NAMES = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "chat_template.jinja", "model.safetensors.index.json"),
    *VECTOR_FILES,
)


def exists(folder: Path, name: str) -> bool:
    """Whether the folder has such a file."""
    return (folder / name).is_file()


def read(folder: Path, name: str) -> bytes:
    """The file's bytes, once, compared with the folder's manifest if it has one.

    Raises ``ConfigurationError`` if the file is missing, too large, no plain file, or not the one of the manifest.
    """
    found = plain_file.read(folder, name, _MOST_BYTES_OF.get(name, _MOST_BYTES))
    manifest.check(folder, name, found)
    return found


def verify(folder: Path) -> None:
    """Compares the files that the folder has with its manifest, if there is one. Raises ``ConfigurationError``."""
    if manifest.exists(folder):
        manifest.verify(folder, [name for name in NAMES if exists(folder, name)])


def read_text(folder: Path, name: str) -> str:
    """The file's text. Raises ``ConfigurationError`` as ``read`` does, and if it is not UTF-8."""
    try:
        return read(folder, name).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8") from None


def read_json(folder: Path, name: str, form: type[_Form]) -> _Form:
    """The file's object (``dict``) or array (``list``). Raises ``ConfigurationError`` if it holds none."""
    found = plain_file.parsed(read(folder, name), name)
    if not isinstance(found, form):
        raise ConfigurationError(f"{name} is not a JSON {_NAMES[form]}")
    return found


def checked(values: dict[str, Any], shape: type[_Shape], name: str) -> _Shape:
    """The values of the file ``name`` that ``shape`` has.

    Raises ``ConfigurationError``, which names the first that is of a wrong type.
    """
    try:
        return shape.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(f"{name}: {error.errors()[0]['loc'][0]} has a value of a wrong type") from None
