"""Whether the tensors of a folder fit its ``config.json``, from their names and shapes alone."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError, safe_open

from lengthwise.errors import ConfigurationError
from lengthwise.models import model_shapes, pooling, text_part, weights
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.published.naming import said
from worker.engine.protocol import EngineError
from worker.engine.transformer.weights import loading
from worker.engine.transformer.weights.checkpoint import SCALES
from worker.importing.weights import forms

#: Stand-ins take no memory, except where transformers joins tensors into one.
_STAND_IN = torch.bfloat16


def warnings(source: Path, folder: Path) -> list[str]:
    """Which tensors of ``folder`` are not used. Raises ``ConfigurationError`` if some are missing or misshapen.

    ``source`` has the files that say what a model serves as.
    """
    named = text_part.weights_of(shapes(folder))
    state = {name: torch.empty((), dtype=_STAND_IN).expand(shape) for name, shape in named.items()}
    with _together(source, folder) as both:
        spec = ModelSpec(name="", path=both)
        try:
            with _quiet():
                _, gaps = loading.build(spec, loading.load_config(spec), state, _STAND_IN, None)
            gaps.refuse("")
        except (EngineError, ConfigurationError) as error:
            raise ConfigurationError(str(error).removeprefix("model ").removeprefix(": ")) from None
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError) as error:
            raise ConfigurationError(f"its config.json describes no model ({type(error).__name__})") from None
    return [gaps.unexpected_line()] if gaps.unexpected else []


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor. Raises ``ConfigurationError``, which names the first file that is not whole."""
    found: dict[str, tuple[int, ...]] = {}
    for path in weights.weight_files(folder):
        found |= _shapes(path)
    scales = {name + ending for name in found for ending in SCALES.values()}
    return {name: shape for name, shape in found.items() if name not in scales}


def check_files(files: Iterable[Path]) -> None:
    """Raises ``ConfigurationError``, which names the first safetensors file that is damaged or half there."""
    for path in files:
        _shapes(path)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(
            f"{said(path.name)} is damaged, or half there ({said(error)}): {forms.AGAIN}"
        ) from None


@contextmanager
def _together(source: Path, folder: Path) -> Iterator[Path]:
    """A folder with the configuration of ``folder`` and what ``source`` says of a model's use."""
    with TemporaryDirectory(dir=folder) as name:
        both = Path(name)
        (both / model_shapes.CONFIG).symlink_to((folder / model_shapes.CONFIG).resolve())
        if (source / pooling.MODULES).is_file():
            (both / pooling.MODULES).symlink_to((source / pooling.MODULES).resolve())
        yield both


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers logs what is told here in one line."""
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
