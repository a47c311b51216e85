"""Compares a tokenizer that was built with its original, on every line of a sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from lengthwise.errors import ConfigurationError

#: So many ids are shown of a line that differs.
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Original:
    """What the tokenizer of transformers does with a text, and with ids."""

    #: The ids of a text in which nothing is a control token, whatever is written in it.
    plain: Callable[[str], list[int]]
    #: The ids of a text with control tokens, and with what frames an input.
    framed: Callable[[str], list[int]]
    #: The text of ids, without control tokens.
    decode: Callable[[list[int]], str]


#: Whether the tokens that were found for a line are as good as the original's.
Excuse = Callable[[str, Sequence[str]], bool]


def check(
    built: Tokenizer, original: Original, lines: Sequence[str], framed: Sequence[str], excuse: Excuse | None = None
) -> None:
    """Compares ids, and the texts of these ids. The lines of ``framed`` hold control tokens.

    Raises ``ConfigurationError`` if a line differs that is not excused.
    """
    built.encode_special_tokens = True
    expected = [original.plain(line) for line in lines]
    found = [built.encode(line, add_special_tokens=False) for line in lines]
    wrong = [
        (ids, encoding.ids)
        for line, ids, encoding in zip(lines, expected, found, strict=True)
        if ids != encoding.ids and not (excuse and excuse(line, encoding.tokens))
    ]
    _refuse(wrong, len(lines), "lines")
    built.encode_special_tokens = False
    pairs = [(original.framed(line), built.encode(line).ids) for line in framed]
    _refuse([pair for pair in pairs if pair[0] != pair[1]], len(pairs), "lines with control tokens")
    n_texts = sum(original.decode(ids) != built.decode(ids, skip_special_tokens=True) for ids in expected)
    if n_texts:
        raise ConfigurationError(f"the tokenizer that was built decodes {n_texts:,} of {len(lines):,} lines otherwise")


def _refuse(wrong: Sequence[tuple[list[int], list[int]]], n_lines: int, what: str) -> None:
    if not wrong:
        return
    expected, found = wrong[0]
    start = next((place for place, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), 0)
    raise ConfigurationError(
        f"the tokenizer that was built differs from that of transformers on {len(wrong):,} of {n_lines:,} {what} of "
        f"the sample: ids {found[start : start + _SHOWN]} instead of {expected[start : start + _SHOWN]}"
    )
