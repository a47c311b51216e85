"""A text on its way through a translation model: what the model reads of it, and its answers in their places.

It is imported late: the command line lists kinds where the packages that read texts are not installed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lengthwise.kinds.kind import KindModel
from lengthwise.text import protection, quality, sentence
from lengthwise.text.convention import Convention
from lengthwise.text.formats import TextFormat
from lengthwise.text.layout import fill
from lengthwise.text.layout.layout import LayoutRules, Pieces, lay_out
from lengthwise.text.normal import normal

#: The most different marks that a model of ours learned to copy.
N_MARKS = 8


@dataclass(frozen=True)
class TextTranslation:
    """A text at one attempt to translate it, and all that decides what the model reads of it.

    The first attempt puts marks in the places of placeholders, if the model copies them. The second cuts the text
    around its placeholders, and keeps emoji too: they are words to a model that knows them, but others lose them.
    """

    text: str
    source: str | None
    target: str | None
    #: The format and the conventions that the job names, if it does.
    format: str | None
    placeholders: Sequence[str] | None
    is_by_sentence: bool
    copies_marks: bool
    is_first: bool
    limit: "ReadingLimit"

    def sentences(self) -> list[str]:
        """The sentences that the model reads, in the order in which ``filled`` takes their translations."""
        return [each.text for each in fill.sentences(self._pieces)]

    def filled(self, answers: Sequence[str]) -> str | None:
        """The translation; None if something was lost or invented, so that the text must be tried again."""
        found = fill.filled(self._pieces, answers, self.target, self._conventions)
        return None if found is not None and self.is_first and _lost_emoji(self.text, found) else found

    @cached_property
    def _pieces(self) -> Pieces:
        rules = LayoutRules(
            self._conventions,
            self.source,
            None if self.format is None else TextFormat(self.format),
            is_by_sentence=self.is_by_sentence,
            n_marks=N_MARKS if self.copies_marks and self.is_first else 0,
            limit=self.limit,
        )
        return lay_out(normal(self.text), rules)

    @cached_property
    def _conventions(self) -> frozenset[Convention]:
        named = protection.ALL if self.placeholders is None else frozenset(map(Convention, self.placeholders))
        return named if self.is_first else named | {Convention.EMOJI}


@dataclass(frozen=True, slots=True)
class ReadingLimit:
    """How long a model reads. ``n_around`` counts the tokens around those of a text that it reads.

    ``before`` is the text that is put before each sentence.
    """

    model: KindModel
    n_around: Callable[[], int]
    before: str

    def allows(self, text: str) -> bool:
        read = self.before + text
        # Few tokenizers make two tokens of a byte, and few models need half of their context for a language's name.
        most = self.model.spec.context // 4
        return 4 * len(read) <= most or len(read.encode()) <= most or self._count([text])[0] <= self._max_tokens()

    def cut(self, text: str) -> Sequence[int]:
        return sentence.cut(text, self._max_tokens(), self._count)

    def _max_tokens(self) -> int:
        return max(1, self.model.spec.context - self.n_around())

    def _count(self, texts: list[str]) -> list[int]:
        return [len(ids) for ids in self.model.tokenizer.encode([self.before + text for text in texts])]


def doubts(source: str, translation: str, pair: tuple[str | None, str | None]) -> Sequence[str]:
    """The codes of the warnings about a translation."""
    return quality.doubts(source, translation, *pair)


def _lost_emoji(source: str, translation: str) -> bool:
    emoji = frozenset({Convention.EMOJI})
    return not source.isascii() and bool(protection.counts(source, emoji) - protection.counts(translation, emoji))
