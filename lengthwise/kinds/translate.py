"""Translation: one language into another, sentence by sentence, placeholders kept intact."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lengthwise.errors import InvalidInput
from lengthwise.kinds import kind
from lengthwise.kinds.kind import Answer, Decoding, Model, Prompt
from lengthwise.kinds.native import Native
from lengthwise.models.catalog import ModelSpec, TranslateOptions
from lengthwise.text import placeholder, sentence
from lengthwise.text.clean import clean

Language = Annotated[str, Field(min_length=2, max_length=16, examples=["zh"])]


class Params(kind.ScoredParams):
    source: Language | None = Field(default=None, description="The texts' language, unless an item names its own.")
    target: Language | None = Field(default=None, description="The language to translate into, likewise.")
    beams: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Hypotheses that beam search goes on with: more mostly find likelier translations, and take up to "
        "about as many times as long. 1 is greedy.",
    )


class Item(kind.Item):
    text: kind.Text = Field(min_length=1)
    source: Language | None = None
    target: Language | None = None

    def texts(self) -> list[str]:
        return [self.text]


class Translate(Native):
    name: ClassVar[str] = "translate"
    params_type: ClassVar[type[kind.Params]] = Params
    item_type: ClassVar[type[kind.Item]] = Item

    def serves(self, spec: ModelSpec, params: Params) -> bool:
        pairs = _options(spec).pairs
        return any(params.source in (None, source) and params.target in (None, target) for source, target in pairs)

    def unserved(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        pairs = [f"{source}→{target}" for spec in specs for source, target in _options(spec).pairs]
        return kind.unknown("language pair", pairs, "target")

    def check(self, spec: ModelSpec, params: Params, item: Item) -> None:
        pair = _pair(params, item)
        if None in pair:
            raise InvalidInput("neither the job nor this item names the language", "target" if pair[0] else "source")
        if pair not in _options(spec).pairs:
            known = [f"{source}→{target}" for source, target in _options(spec).pairs]
            raise kind.unknown("language pair", known, "target")

    def decoding(self, spec: ModelSpec, params: Params) -> Decoding:
        return Decoding(max_new_tokens=spec.max_new_tokens, score=params.score, beams=params.beams)

    def prompts(
        self, model: Model, params: Params, items: Sequence[Item], *, retry: bool = False
    ) -> list[list[Prompt]]:
        texts = [_Layout.of(model.spec, params, item, careful=retry).texts for item in items]
        ids = iter(model.tokenizer.encode(list(chain.from_iterable(texts))))
        frame_of = cache(partial(_Frame.of, model))
        found = []
        for item, each in zip(items, texts, strict=True):
            frame = frame_of(_pair(params, item))
            found.append([frame.prompt(next(ids), retry) for _ in each])
        return found

    def output(
        self, model: Model, params: Params, item: Item, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> dict[str, Any] | None:
        layout = _Layout.of(model.spec, params, item, careful=any(prompt.is_careful for prompt in prompts))
        text = layout.filled([answer.text for answer in answers], _pair(params, item)[1])
        cut = any(answer.finish_reason == "length" for answer in answers)
        if text is None:
            return None
        return {"text": text, "finish_reason": "length" if cut else "stop"} | params.scored(answers)


@dataclass(frozen=True, slots=True)
class _Layout:
    """A text as sentences to translate and what is kept between them; ``values`` are what its marks stand for."""

    pieces: list[placeholder.TextPiece]
    values: tuple[str, ...]

    @classmethod
    def of(cls, spec: ModelSpec, params: Params, item: Item, *, careful: bool) -> "_Layout":
        """With marks for placeholders; or around them, where the model cannot carry marks, lost one, or they are more
        than there are marks.
        """
        options, text = _options(spec), clean(item.text, keep_tags=True)
        language = _pair(params, item)[0]
        if not careful and options.placeholders == "copy":
            protected = placeholder.protect(text)
            if len(protected.values) < placeholder.LIMIT or not placeholder.protect(protected.text).values:
                return cls(_units(options, protected.text, language), protected.values)
        pieces = placeholder.split(text)
        return cls([unit for piece in pieces for unit in _kept_or_units(options, piece, language)], ())

    @property
    def texts(self) -> list[str]:
        return [piece.text for piece in self.pieces if piece.is_text]

    def filled(self, translations: Sequence[str], language: str | None) -> str | None:
        """The translation of the whole; None if the model lost, repeated or invented a mark."""
        rest, parts = iter(translations), []
        for index, piece in enumerate(self.pieces):
            if index:
                parts.append(sentence.joint(self.pieces[index - 1], piece, language))
            parts.append(next(rest).strip() if piece.is_text else sentence.fitting(piece.text, language))
        return placeholder.restore("".join(parts), self.values)


def _units(options: TranslateOptions, text: str, language: str | None) -> list[placeholder.TextPiece]:
    """Sentences, or for a model that reads whole texts the text itself; nothing where there is no word."""
    pieces = sentence.split(text, language)
    is_whole = options.unit == "text" and any(piece.is_text for piece in pieces)
    return [placeholder.TextPiece(text, True)] if is_whole else pieces


def _kept_or_units(
    options: TranslateOptions, piece: placeholder.TextPiece, language: str | None
) -> list[placeholder.TextPiece]:
    return _units(options, piece.text, language) if piece.is_text else [piece]


def _options(spec: ModelSpec) -> TranslateOptions:
    return spec.translate or TranslateOptions(pairs=(("", ""),))


def _pair(params: Params, item: Item) -> tuple[str | None, str | None]:
    return item.source or params.source, item.target or params.target


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stands around each sentence of a language pair."""

    before: list[int]
    after: list[int]
    forced: tuple[int, ...]
    max_new_tokens: int

    @classmethod
    def of(cls, model: Model, pair: tuple[str | None, str | None]) -> "_Frame":
        options, tokenizer = _options(model.spec), model.tokenizer
        source, target = (options.codes.get(code or "", code) for code in pair)
        before = tokenizer.special(options.source_prefix.format(source=source, target=target))
        forced = tokenizer.special(options.target_prefix.format(source=source, target=target))
        after = [] if tokenizer.eos is None else [tokenizer.eos]
        return cls(before, after, tuple(forced), model.spec.max_new_tokens)

    def prompt(self, ids: list[int], is_careful: bool) -> Prompt:
        tokens = self.before + ids
        # A translation is seldom twice as long as its source; a model that rambles is cut rather than waited for.
        limit = min(self.max_new_tokens, 2 * len(tokens) + 32)
        return Prompt(tokens + self.after, limit, self.forced, is_careful)
