"""Brings a model from where it is published into a folder in the form that lengthwise loads."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lengthwise.errors import ConfigurationError
from lengthwise.models import model_file, model_shapes
from lengthwise.models.published import licence
from lengthwise.models.published.naming import said
from lengthwise.models.tokenizer import TOKENIZER
from worker.importing.fetch import fetch, is_hub_id
from worker.importing.tokenizers import supply as tokenizers
from worker.importing.weights import adapters, configuration, forms
from worker.importing.weights import supply as weights

GGUF = ".gguf"


class Brought(NamedTuple):
    """What is known of a model besides the files of its folder."""

    #: The last part of its hub id, or the name of its folder or file.
    name: str
    #: Its hub id; None for a folder or a file.
    hub: str | None
    #: Its commit on the hub.
    revision: str | None
    #: What was left out or assumed, as lines for people.
    warnings: list[str]


def check_origin(origin: str, also: str = "") -> None:
    """Raises ``ConfigurationError`` for what can be no folder, no .gguf file and no hub id. It need not exist.

    ``also``: what else it is not.
    """
    if Path(origin).suffix == GGUF or _is(origin, Path.is_dir):
        return
    if _is(origin, Path.is_file):
        raise ConfigurationError(f"{said(origin)} is a file: name the folder of the model, or a {GGUF} file")
    if not is_hub_id(origin):
        raise ConfigurationError(
            f"{said(origin) or 'an empty name'} is {also}neither a folder, nor a {GGUF} file, nor a hub id: "
            "correct the path, or name the model as its page on the hub does, such as owner/name"
        )


def _is(origin: str, what: Callable[[Path], bool]) -> bool:
    try:
        return origin != "" and what(Path(origin))
    except (OSError, ValueError):  # too long for a name, in a folder that is not to be read, or with a zero byte
        return False


def name_of(origin: str) -> str:
    """The last part of a hub id, or the name of a folder or file."""
    path = Path(origin)
    return path.stem if path.suffix == GGUF else path.resolve().name if path.is_dir() else path.name


def bring(origin: str, revision: str | None, folder: Path) -> Brought:
    """Puts the model into ``folder``, which exists and is empty. ``origin`` is a folder, a .gguf file or a hub id.

    What is right already is linked, so ``folder`` must not outlive it. Raises ``ConfigurationError``.
    """
    path, hub = Path(origin), None
    if not path.is_dir() and path.suffix != GGUF:
        path, revision = fetch(origin, revision, refuse=lambda found: _refuse_unserved(origin, found))
        hub = origin
    elif not path.exists():
        raise ConfigurationError(f"{said(origin)} does not exist: correct the path, or fetch the file")
    try:
        warnings = weights.supply(path, folder)
        if path.is_dir() and not model_file.exists(folder, TOKENIZER):
            warnings += tokenizers.supply(_tokenizer_of(path), folder)
    except ConfigurationError as error:
        raise ConfigurationError(f"{said(origin)}: {error}") from None
    if path.is_dir():
        _link_others(path, folder)
    return Brought(name_of(origin), hub, revision, warnings)


def _refuse_unserved(origin: str, folder: Path) -> None:
    """Refuses a model that its ``config.json`` rules out, before its weights are fetched."""
    if not (folder / model_shapes.CONFIG).is_file():  # as of an adapter
        return
    try:
        configuration.read(folder)
    except ConfigurationError as error:
        raise ConfigurationError(f"{said(origin)}: {error}") from None


def _tokenizer_of(source: Path) -> Path:
    """The folder with the model's tokenizer: that of its base, if an adapter has none of its own."""
    if not (source / forms.ADAPTER).is_file() or (source / "tokenizer_config.json").is_file():
        return source
    return adapters.base(adapters.read(source))


def _link_others(source: Path, folder: Path) -> None:
    """Links the small files that neither weights nor tokenizer brought: of sentence-transformers, and the licence."""
    licences = licence.files(source)
    for path in (*source.glob("*"), *source.glob("[0-9]_*/*")):
        place = folder / path.relative_to(source)
        is_used = path.suffix == ".json" or path.parent != source or path.name in licences
        is_used &= path.name != forms.PICKLE  # which the weights' import has converted
        if path.is_file() and is_used and not place.exists():
            place.parent.mkdir(exist_ok=True)
            place.symlink_to(path.resolve())
