"""Reads the file of a SentencePiece model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lengthwise.errors import ConfigurationError

#: The names of files in which a model's segmentation is published.
SEGMENTATIONS = ("sentencepiece.bpe.model", "tokenizer.model", "spiece.model", "spm.model")
#: What SentencePiece writes for a space.
SPACE = "▁"
_UNIGRAM, _BPE = 1, 2
_NORMAL, _USER_DEFINED, _UNUSED, _BYTE = 1, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Pieces:
    """What a model of SentencePiece holds: the scores of its pieces, and how it normalizes and divides text."""

    scores: dict[str, float]
    #: Whether it joins characters to pieces (BPE), the best-scored first. Otherwise it seeks the best sum (Unigram).
    joins: bool
    control: frozenset[str]
    character_map: bytes
    removes_extra_spaces: bool


def read(path: Path) -> Any:
    """The file as SentencePiece's own message. Raises ``ConfigurationError`` if it is none."""
    from google.protobuf.message import DecodeError
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

    try:
        return ModelProto.FromString(path.read_bytes())
    except DecodeError:
        raise ConfigurationError(f"{path.name} is no sentencepiece model") from None


def withhold(model: Any, missing: set[str]) -> None:
    """Keeps the segmentation from using these pieces."""
    for piece in model.pieces:
        if piece.piece in missing:
            piece.type = _UNUSED


def pieces(model: Any, name: str) -> Pieces:
    """What is needed of the model in the file ``name``. Raises ``ConfigurationError`` if it is of another sort."""
    normalizer, types = model.normalizer_spec, {piece.type for piece in model.pieces}
    if model.trainer_spec.model_type not in (_UNIGRAM, _BPE):
        raise ConfigurationError(
            f"{name} is neither a Unigram nor a BPE model of sentencepiece: such a tokenizer cannot be built"
        )
    if types & {_USER_DEFINED, _BYTE} or model.trainer_spec.treat_whitespace_as_suffix:
        raise ConfigurationError(f"{name} has pieces of a sort that cannot be built: user-defined, bytes, or suffixes")
    if not normalizer.escape_whitespaces:
        raise ConfigurationError(f"{name} does not mark spaces: such a tokenizer cannot be built")
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type == _NORMAL}
    if not normalizer.add_dummy_prefix or SPACE not in scores:
        raise ConfigurationError(f"{name} does not put a space before each text: such a tokenizer cannot be built")
    return Pieces(
        scores=scores,
        joins=model.trainer_spec.model_type == _BPE,
        control=frozenset(piece.piece for piece in model.pieces if piece.type not in (_NORMAL, _UNUSED)),
        character_map=normalizer.precompiled_charsmap,
        removes_extra_spaces=normalizer.remove_extra_whitespaces,
    )
