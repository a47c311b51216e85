"""A tokenizer for models that segment with SentencePiece and number the pieces by a list of their own (``vocab.json``).

Such are Marian and M2M-100. The list holds pieces that the segmentation never yields, for example those of the target
language. Yet characters that SentencePiece does not know are looked up too, a whole run of them at once. The library's
Unigram model would take any listed piece of such a run. So each run is framed by marks, and the pieces that consist of
unknown characters are listed with these marks: they are found if they are the whole run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from lengthwise.errors import ConfigurationError
from worker.importing.tokenizers import character_map
from worker.importing.tokenizers.character_map import character_class
from worker.importing.tokenizers.pieces import SPACE, Pieces

#: So low that any way through pieces of the segmentation is better, up to thousands of them in a piece's place.
_UNREACHABLE = -1e5
#: What ``str.strip`` removes.
_BLANKS = r"[\t-\r\x1c- \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"


@dataclass(frozen=True, slots=True)
class Numbering:
    """The ids of the pieces, and of the tokens that control the model. ``unknown`` is the id of what is not listed."""

    ids: Mapping[str, int]
    unknown: int
    control: Sequence[str]


def build(pieces: Pieces, numbering: Numbering) -> Tokenizer:
    """The tokenizer, without what frames an input. Raises ``ConfigurationError`` if the library cannot do the same."""
    rules = character_map.read(pieces.character_map)
    known = {character for piece in pieces.scores for character in piece}
    in_use = known.union(*rules, *rules.values(), *numbering.ids)
    marks = character_map.marks(in_use)
    tokenizer = Tokenizer(models.Unigram(_listed(pieces, numbering, known, marks.boundary), numbering.unknown))
    tokenizer.normalizer = normalizers.Sequence(
        [
            # Text is no control token, even where SentencePiece knows none of the token's characters.
            *(normalizers.Replace(token, marks.foreign) for token in numbering.control if known.isdisjoint(token)),
            *character_map.steps(pieces.character_map, rules, marks),
            *_spaces(pieces),
            _framing(known, marks.boundary),
        ]
    )
    if not any(SPACE in piece[1:] for piece in pieces.scores):
        tokenizer.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(marks.boundary, ""),
            decoders.Replace(SPACE, " "),
            decoders.Fuse(),
            decoders.Replace(Regex(rf"\A{_BLANKS}+|(?<!{_BLANKS}){_BLANKS}+\z"), ""),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in numbering.control])
    return tokenizer


def _listed(pieces: Pieces, numbering: Numbering, known: set[str], mark: str) -> list[tuple[str, float]]:
    by_id = {number: piece for piece, number in numbering.ids.items()}
    if sorted(by_id) != list(range(len(numbering.ids))):
        raise ConfigurationError("vocab.json does not number its pieces from 0 without gaps")
    control = set(numbering.control)
    listed = []
    for number in range(len(by_id)):
        piece = by_id[number]
        score = pieces.scores.get(piece, _UNREACHABLE)
        is_run = piece not in control and known.isdisjoint(piece)
        listed.append((f"{mark}{piece}{mark}" if is_run else piece, score))
    return listed


def _spaces(pieces: Pieces) -> list[Any]:
    replace = normalizers.Replace
    single = [
        replace(Regex(" {2,}"), " "),
        replace(Regex(rf"\A +|(?<![ {SPACE}])[ {SPACE}]+\z"), ""),
    ]
    return [
        *(single if pieces.removes_extra_spaces else []),
        normalizers.Prepend(SPACE),
        replace(" ", SPACE),
    ]


def _framing(known: set[str], mark: str) -> Any:
    """Puts the mark before and behind each run of characters that are not known. The text begins with a known one."""
    unknown = character_class(known, without=True)
    return normalizers.Replace(Regex(f"(?={unknown})(?<!{unknown})|(?<={unknown})(?!{unknown})"), mark)
