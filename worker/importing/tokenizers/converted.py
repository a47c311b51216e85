"""Tokenizers that transformers itself makes for the tokenizers library, from the files of the model's family."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lengthwise.errors import ConfigurationError
from worker.importing.tokenizers import comparison, sample
from worker.importing.tokenizers.pieces import SEGMENTATIONS


def converted(folder: Path) -> tuple[Tokenizer, list[str]]:
    """The tokenizer of the model in the folder, and warnings. Raises ``ConfigurationError``."""
    original = _read(folder)
    built = Tokenizer.from_str(original.backend_tokenizer.to_str())
    built.no_truncation()
    built.no_padding()
    unknown = original.unk_token_id
    if unknown is not None and unknown in original("")["input_ids"]:
        raise ConfigurationError(
            "the tokenizer puts tokens around an input that it does not have: special_tokens_map.json or "
            "added_tokens.json is missing or has none of them; fetch the model again, or take one with tokenizer.json"
        )
    control = list(original.all_special_tokens)
    lines = sample.lines(_spellings(built), control)
    framed = [f"{token}{line}" for token in ("", *control) for line in ("", "a b", " 1000 ")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about lengths
        comparison.check(
            built,
            comparison.Original(
                plain=lambda line: original(line, add_special_tokens=False, split_special_tokens=True)["input_ids"],
                framed=lambda line: original(line)["input_ids"],
                decode=lambda ids: original.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            ),
            lines,
            framed,
        )
    return built, _losses(built, unknown, lines, folder)


def _read(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        original = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its files make it raise
        raise ConfigurationError(
            f"transformers makes no tokenizer of these files ({type(error).__name__}); take a revision or a copy of "
            "the model that has tokenizer.json"
        ) from None
    if not isinstance(getattr(original, "backend_tokenizer", None), Tokenizer):
        raise ConfigurationError(
            f"transformers has the tokenizer {type(original).__name__} in Python alone; take a revision or a copy of "
            "the model that has tokenizer.json"
        )
    return original


def _spellings(built: Tokenizer) -> Sequence[str]:
    """Each token as it is listed, and as it is written, which differs for tokens of bytes."""
    vocabulary = built.get_vocab(with_added_tokens=True)
    return list(dict.fromkeys([*vocabulary, *(built.decode([number]) for number in vocabulary.values())]))


def _losses(built: Tokenizer, unknown: int | None, lines: Sequence[str], folder: Path) -> list[str]:
    """A warning, if the tokenizer of transformers loses characters that the model's own segmentation knows."""
    name = next((name for name in SEGMENTATIONS if (folder / name).is_file()), None)
    if name is None or unknown is None:
        return []
    from sentencepiece import SentencePieceProcessor

    own = SentencePieceProcessor(model_file=str(folder / name))
    built.encode_special_tokens = True
    n_losses = sum(
        built.encode(line, add_special_tokens=False).ids.count(unknown) > own.encode(line).count(own.unk_id())
        for line in lines
    )
    built.encode_special_tokens = False
    if not n_losses:
        return []
    return [
        f"transformers' tokenizer, which is used, has more unknown tokens than {name} on {n_losses:,} of "
        f"{len(lines):,} lines of the sample: it normalizes rare characters differently"
    ]
