"""A tokenizer for models that segment with SentencePiece and number the pieces by a list of their own (``vocab.json``).

Such are Marian and M2M-100. The list holds pieces that the segmentation never yields, for example those of the target
language. Yet characters that SentencePiece does not know are looked up too, a whole run of them at once. The library
would take any listed piece of such a run. So a listed run that is a whole one becomes something that no text spells:
for Unigram the run between two marks, for BPE, which would have to join that from its characters, one character.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
    listed, control = _listed(numbering), set(numbering.control)
    runs = [piece for piece in listed if piece not in control and known.isdisjoint(piece)]
    if pieces.joins:
        names = character_map.names(runs, in_use)
        division = _bpe(pieces, listed, listed[numbering.unknown], names, known, marks.foreign)
    else:
        division = _unigram(pieces, listed, numbering.unknown, set(runs), known, marks.boundary)
    tokenizer = Tokenizer(division.model)
    tokenizer.normalizer = normalizers.Sequence(
        [
            # Text is no control token, even where SentencePiece knows none of the token's characters.
            *(normalizers.Replace(token, marks.foreign) for token in numbering.control if known.isdisjoint(token)),
            *division.first,
            *character_map.steps(pieces.character_map, rules, marks),
            *_spaces(pieces),
            *division.last,
        ]
    )
    if not any(SPACE in piece[1:] for piece in pieces.scores):
        tokenizer.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [
            *division.spelled,
            decoders.Replace(SPACE, " "),
            decoders.Fuse(),
            decoders.Replace(Regex(rf"\A{_BLANKS}+|(?<!{_BLANKS}){_BLANKS}+\z"), ""),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in numbering.control])
    return tokenizer


def _listed(numbering: Numbering) -> list[str]:
    by_id = {number: piece for piece, number in numbering.ids.items()}
    if sorted(by_id) != list(range(len(numbering.ids))):
        raise ConfigurationError("vocab.json does not number its pieces from 0 without gaps")
    return [by_id[number] for number in range(len(by_id))]


class _Division(NamedTuple):
    """The library's model, the first and the last steps of the normalizer, and the first ones of the decoder."""

    model: Any
    first: list[Any]
    last: list[Any]
    spelled: list[Any]


def _unigram(
    pieces: Pieces, listed: Sequence[str], unknown: int, runs: set[str], known: set[str], mark: str
) -> _Division:
    scores = [
        (f"{mark}{piece}{mark}" if piece in runs else piece, pieces.scores.get(piece, _UNREACHABLE)) for piece in listed
    ]
    return _Division(models.Unigram(scores, unknown), [], [_framing(known, mark)], [decoders.Replace(mark, "")])


def _bpe(
    pieces: Pieces, listed: Sequence[str], unknown: str, names: Mapping[str, str], known: set[str], foreign: str
) -> _Division:
    """``names`` has the character that stands for each run. In a text, it becomes ``foreign``, an unknown one."""
    ids = {names.get(piece, piece): number for number, piece in enumerate(listed)}
    joined = [
        (-score, piece[:place], piece[place:])
        for piece, score in pieces.scores.items()
        for place in range(1, len(piece))
        if piece[:place] in pieces.scores and piece[place:] in pieces.scores
    ]
    merges = [(left, right) for _, left, right in sorted(joined)]
    model = models.BPE(ids, merges, unk_token=unknown, fuse_unk=True)
    replace, other = normalizers.Replace, character_class(known, without=True)
    return _Division(
        model,
        [replace(name, foreign) for name in names.values()],
        [replace(Regex(f"(?<!{other}){_literal(run)}(?!{other})"), name) for run, name in names.items()],
        [decoders.Replace(name, run) for run, name in names.items()],
    )


def _literal(text: str) -> str:
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)


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
