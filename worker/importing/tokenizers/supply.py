"""Puts the tokenizer of a published model into a folder, in the form that lengthwise reads."""

import importlib.util
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

from lengthwise.confined import Budget, Confined, ConfinedError, OverBudget
from lengthwise.errors import ConfigurationError, Unavailable
from lengthwise.models import model_file, model_shapes, plain_file, tokenizer
from lengthwise.models.tokenizer import TOKENIZER
from worker.importing.tokenizers.pieces import SEGMENTATIONS

#: What is taken over as it is.
_COPIED = (
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json"),
)
_TEMPLATES = "additional_chat_templates"
#: What a tokenizer is built from. Only these files are shown to the child that does it.
_SOURCES = (
    *("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "source.spm", "target.spm", "target_vocab.json", *SEGMENTATIONS),
)
_MOST_BYTES = 256 << 20
#: A vocabulary of 262,000 tokens takes a minute and 2 GB.
_BUDGET = Budget(seconds=900, memory_bytes=6 << 30)


def supply(source: Path, folder: Path) -> list[str]:
    """Puts the tokenizer of the model in ``source``, and its chat templates, into ``folder``.

    Files in the form that lengthwise reads are copied; others are built from the form in which the model is published.
    Returns warnings, as lines for people. Raises ``ConfigurationError``, which says what is missing and what mends it.
    Writes nothing outside of ``folder``, which may be left incomplete after an error.
    """
    _copy(source, folder, _COPIED)
    if (source / _TEMPLATES).is_dir():
        (folder / _TEMPLATES).mkdir(exist_ok=True)
        _copy(source / _TEMPLATES, folder / _TEMPLATES, [path.name for path in (source / _TEMPLATES).glob("*.jinja")])
    warnings = []
    if model_file.exists(source, TOKENIZER):
        _copy(source, folder, [TOKENIZER])
    else:
        warnings = _build(source, folder, _form(source))
    check_ids(source, folder)
    return warnings


def _copy(source: Path, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if model_file.exists(source, name):
            (folder / name).write_bytes(plain_file.read(source, name, _MOST_BYTES))


def _form(source: Path) -> str:
    """How the tokenizer is published. Raises ``ConfigurationError`` if a file of this form is missing."""
    segmentation = next((name for name in SEGMENTATIONS if model_file.exists(source, name)), None)
    if model_file.exists(source, "source.spm"):
        _need(source, "source.spm", "target.spm", "vocab.json")
        form = "marian"
    elif segmentation and model_file.exists(source, "vocab.json"):
        form = "m2m_100"
    elif segmentation or model_file.exists(source, "vocab.txt"):
        form = "converted"
    elif model_file.exists(source, "vocab.json") or model_file.exists(source, "merges.txt"):
        _need(source, "vocab.json", "merges.txt")
        form = "converted"
    else:
        raise ConfigurationError(
            "the model has no tokenizer: tokenizer.json is missing, and so are vocab.txt, vocab.json, source.spm, "
            f"{' and '.join((', '.join(SEGMENTATIONS[:-1]), SEGMENTATIONS[-1]))}; fetch the whole repository"
        )
    if (segmentation or form == "marian") and not _has_sentencepiece():
        raise ConfigurationError(
            "the model's tokenizer is one of sentencepiece, which is not installed: pip install 'lengthwise[import]'"
        )
    return form


def _need(source: Path, *names: str) -> None:
    missing = [name for name in names if not model_file.exists(source, name)]
    if missing:
        raise ConfigurationError(
            f"the model's tokenizer is incomplete: {' and '.join(missing)} is missing; fetch the whole repository"
        )


def _has_sentencepiece() -> bool:
    return all(importlib.util.find_spec(name) for name in ("sentencepiece", "google", "google.protobuf"))


def _build(source: Path, folder: Path, form: str) -> list[str]:
    confined = Confined("worker.importing.tokenizers.build:build", _BUDGET)
    try:
        with tempfile.TemporaryDirectory(prefix=".tokenizer-", dir=folder) as shown:
            _copy(source, Path(shown), _SOURCES)
            wanted = {"form": form, "source": shown, "folder": str(folder)}
            answer = json.loads(confined.call(json.dumps(wanted).encode()))
    except OverBudget as error:
        raise ConfigurationError(f"the tokenizer's files need too much {error.resource}") from None
    except ConfinedError:
        raise ConfigurationError("the tokenizer's files cannot be read: fetch the model again") from None
    except Unavailable:
        raise ConfigurationError("the machine is too busy to build the tokenizer: try again") from None
    finally:
        confined.close()
    if "wrong" in answer:
        raise ConfigurationError(answer["wrong"])
    warnings: list[str] = answer["warnings"]
    return warnings


def check_ids(source: Path, folder: Path) -> None:
    """Raises ``ConfigurationError`` if a token has no row in the model's table of embeddings."""
    config = model_shapes.read_config(source)
    text_config = config.get("text_config")
    n_rows = config.get("vocab_size") or (text_config.get("vocab_size") if isinstance(text_config, dict) else None)
    vocabulary = Tokenizer.from_buffer(tokenizer.read_tried(folder)).get_vocab(with_added_tokens=True)
    token, largest = max(vocabulary.items(), key=lambda item: item[1], default=("", -1))
    if isinstance(n_rows, int) and largest >= n_rows:
        raise ConfigurationError(
            f"the tokenizer does not fit the model: {token[:40]!r} has the id {largest:,}, but config.json has a "
            f"vocab_size of {n_rows:,}; take the tokenizer of the same revision"
        )
