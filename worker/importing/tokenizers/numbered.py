"""The tokenizers of Marian and M2M-100, which transformers has in Python alone."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors

from lengthwise.errors import ConfigurationError
from worker.importing.tokenizers import comparison, mapped_pieces, pieces, sample, ties
from worker.importing.tokenizers.mapped_pieces import Numbering

VOCABULARY = "vocab.json"
#: A vocabulary that was made from texts lacks pieces that these texts did not need. With more, it is another model's.
_MOST_MISSING = 0.02


@dataclass(frozen=True, slots=True)
class _Family:
    """What differs between the families. ``slow`` is the tokenizer of transformers."""

    slow: Any
    segmentation: str
    #: The attributes of ``slow`` that hold its segmentation.
    processors: Sequence[str]
    frame: str
    languages: Sequence[str]
    #: Whether ``slow`` reads a language in a text.
    reads_languages: bool


def marian(folder: Path) -> tuple[Tokenizer, list[str]]:
    """The tokenizer of the Marian model in the folder, and warnings. Raises ``ConfigurationError``."""
    from transformers.models.marian.tokenization_marian import MarianTokenizer

    slow = _read(MarianTokenizer, folder)
    if slow.separate_vocabs:
        raise ConfigurationError("the model has a vocabulary for each language: such a tokenizer cannot be built")
    frame, languages = f"$A {slow.eos_token}", slow.supported_language_codes
    return _built(_Family(slow, "source.spm", ("spm_source", "current_spm"), frame, languages, True), folder)


def m2m100(folder: Path) -> tuple[Tokenizer, list[str]]:
    """The tokenizer of the M2M-100 model in the folder, and warnings. Raises ``ConfigurationError``."""
    from transformers.models.m2m_100.tokenization_m2m_100 import M2M100Tokenizer

    slow = _read(M2M100Tokenizer, folder)
    languages = list(slow.lang_token_to_id)
    frame = f"{slow.get_lang_token(slow.src_lang)} $A {slow.eos_token}"
    return _built(_Family(slow, "sentencepiece.bpe.model", ("sp_model",), frame, languages, False), folder)


def _read(kind: Any, folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends a package that its tokenizing does not use
        return kind.from_pretrained(str(folder), local_files_only=True)


def _built(family: _Family, folder: Path) -> tuple[Tokenizer, list[str]]:
    from sentencepiece import SentencePieceProcessor

    ids = json.loads((folder / VOCABULARY).read_bytes())
    model = pieces.read(folder / family.segmentation)
    found = pieces.pieces(model, family.segmentation)
    missing = found.scores.keys() - ids.keys()
    if len(missing) > _MOST_MISSING * len(found.scores):
        raise ConfigurationError(
            f"{VOCABULARY} lacks {len(missing):,} of the {len(found.scores):,} pieces of {family.segmentation}: "
            "the two are not of the same model"
        )
    if missing and found.joins:  # longer pieces are joined from them, so they cannot be withheld
        raise ConfigurationError(
            f"{VOCABULARY} lacks {len(missing):,} pieces of {family.segmentation}, such as {min(missing)!r}, which is "
            "a BPE model: such a tokenizer cannot be built"
        )
    if missing:
        pieces.withhold(model, missing)
        found = pieces.pieces(model, family.segmentation)
        processor = SentencePieceProcessor(model_proto=model.SerializeToString())
        for name in family.processors:
            setattr(family.slow, name, processor)
    control = _control(family, found, ids)
    tokenizer = mapped_pieces.build(found, Numbering(ids, ids[family.slow.unk_token], list(control)))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=family.frame,
        pair=family.frame.replace("$A", "$A $B"),
        special_tokens=[(part, control[part]) for part in family.frame.split() if part in control],
    )
    if any(tokenizer.token_to_id(token) != number for token, number in control.items()):
        raise ConfigurationError(f"{VOCABULARY} and the model's control tokens do not number them alike")
    _check(tokenizer, family, found, ids, control)
    return tokenizer, _missing(missing, family.segmentation)


def _control(family: _Family, found: pieces.Pieces, ids: dict[str, int]) -> dict[str, int]:
    """The tokens that control the model, in the order of their ids."""
    slow = family.slow
    tokens = {*slow.all_special_tokens, *slow.added_tokens_encoder, *family.languages, *(found.control & ids.keys())}
    numbers = {token: slow.convert_tokens_to_ids(token) for token in tokens}
    return dict(sorted(numbers.items(), key=lambda item: item[1]))


def _missing(missing: set[str], segmentation: str) -> list[str]:
    if not missing:
        return []
    return [
        f"{VOCABULARY} lacks {len(missing):,} pieces of {segmentation}, such as {min(missing)!r}: transformers takes "
        "them for unknown, here texts are divided into other pieces"
    ]


def _check(
    tokenizer: Tokenizer, family: _Family, found: pieces.Pieces, ids: dict[str, int], control: dict[str, int]
) -> None:
    slow, unknown = family.slow, ids[family.slow.unk_token]
    numbers = set(control.values())

    def plain(line: str) -> list[int]:
        # transformers looks up a run of unknown characters even if it spells a control token. Here, text never is one.
        expected = slow.convert_tokens_to_ids(slow.tokenize(line, split_special_tokens=True))
        return [unknown if number in numbers else number for number in expected]

    def is_tie(line: str, tokens: Sequence[str]) -> bool:
        return ties.is_tie(slow.tokenize(line, split_special_tokens=True), tokens, found.scores)

    original = comparison.Original(
        plain=plain,
        framed=lambda line: slow(line)["input_ids"],
        decode=lambda ids: slow.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
    )
    lines = sample.lines(list(ids), list(control))
    read = {*slow.all_special_tokens, *slow.added_tokens_encoder, *(family.languages if family.reads_languages else ())}
    framed = [f"{token}{line}" for token in ("", *sorted(read)) for line in ("", "a b", " 1000 ")]
    comparison.check(tokenizer, original, lines, framed, is_tie)
