"""Translation: one language into another, sentence by sentence, placeholders kept intact."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from lengthwise.errors import InvalidInput
from lengthwise.kinds import kind
from lengthwise.kinds.kind import Decoding, KindModel, ModelAnswer, Prompt
from lengthwise.kinds.native import CommandOption, NativeKind
from lengthwise.models.architecture import Architecture
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.kind_options import KindOptions, ModelFacts
from lengthwise.result_field import FieldPath
from lengthwise.text.convention import Convention

if TYPE_CHECKING:
    from lengthwise.kinds.translation import TextTranslation

_CONVENTIONS = tuple(convention.value for convention in Convention)

#: The source and the target language, as jobs name them.
_Pair = tuple[str | None, str | None]

Language = Annotated[str, Field(min_length=2, max_length=16, examples=["zh"])]


class TranslateOptions(KindOptions):
    """How a translation model is prompted."""

    #: A decoder-only model would continue the text instead.
    architectures: ClassVar[frozenset[Architecture] | None] = frozenset({Architecture.ENCODER_DECODER})

    #: (source, target) language pairs in ISO 639-1 codes, which jobs use.
    pairs: tuple[tuple[str, str], ...] = Field(min_length=1)
    #: The model's own names of these languages, if they differ, such as NLLB's ``zho_Hans``.
    codes: dict[str, str] = Field(default={})
    #: Plain text before each text that the model reads, such as T5's ``translate {source} to {target}: ``. It becomes
    #: tokens together with the text. It may hold languages as the next two do.
    text_prefix: str = Field(default="", max_length=200)
    #: Special tokens before the text, and those with which the answer is forced to begin. ``{source}`` and ``{target}``
    #: stand for the model's names of the languages.
    source_prefix: str = ""
    target_prefix: str = ""
    #: What the model was trained on. With ``sentence`` it reads sentences, with ``text`` whole lines or paragraphs.
    unit: Literal["sentence", "text"] = "sentence"
    #: ``copy``: the model was trained to copy U+E000, U+E001, … unchanged. ``split``: texts are translated in pieces
    #: between the placeholders.
    placeholders: Literal["copy", "split"] = "split"

    #: A translation is doubtful if the natural logarithm of its probability, per token, is less. Each answer is scored
    #: then, which takes some time. None: translations are not doubted for this.
    unsure_below: Annotated[float, Field(lt=0, allow_inf_nan=False)] | None = None

    @field_validator("text_prefix", "source_prefix", "target_prefix")
    @classmethod
    def _holds_languages(cls, value: str) -> str:
        try:
            value.format(source="", target="")
        except (LookupError, ValueError, AttributeError):
            raise ValueError("may hold {source} and {target}, and no other braces") from None
        return value

    def with_languages(self, prefix: str, pair: _Pair) -> str:
        """A prefix with the model's names of the languages."""
        source, target = (self.codes.get(code or "", code) for code in pair)
        return prefix.format(source=source, target=target)

    def language_pairs(self) -> Sequence[tuple[str, str]]:
        return self.pairs

    @classmethod
    def proposed(cls, facts: ModelFacts) -> Self | None:
        from lengthwise.kinds import languages

        table = languages.proposed(facts.name, facts.config, facts.tokens)
        return None if table is None else cls.model_validate(table)


class TranslateParams(kind.ScoringParams):
    source: Language | None = Field(
        default=None, description="The language of the texts, unless an item names its own."
    )
    target: Language | None = Field(
        default=None, description="The language to translate into, unless an item names its own."
    )
    beams: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Hypotheses that beam search keeps. More of them mostly find likelier translations, and take up to "
        "about that many times as long. 1 is greedy.",
    )
    format: Literal["text", "html", "markdown"] | None = Field(
        default=None, description="What the texts are, so that their markup is kept. Otherwise each text tells."
    )
    placeholders: Annotated[list[Literal[*_CONVENTIONS]], Field(max_length=len(_CONVENTIONS))] | None = Field(  # type: ignore[valid-type]
        default=None, description="The conventions whose placeholders are kept. All but `emoji` by default."
    )


class TranslateItem(kind.TextItem):
    source: Language | None = None
    target: Language | None = None


class TranslateKind(NativeKind):
    name: ClassVar[str] = "translate"
    params_type: ClassVar[type[kind.JobParams]] = TranslateParams
    item_type: ClassVar[type[kind.JobItem]] = TranslateItem
    options_type: ClassVar[type[KindOptions]] = TranslateOptions
    usual_architecture: ClassVar[str | None] = "encoder-decoder"
    summary: ClassVar[str] = "translates a text into another language"
    example: ClassVar[dict[str, Any]] = {"source": "zh", "target": "en", "beams": 4, "items": ["我吃了一个苹果。"]}
    command_options: ClassVar[tuple[CommandOption, ...]] = (
        CommandOption("--from", "source", "the texts' language."),
        CommandOption("--to", "target", "the language to translate into."),
    )
    max_attempts: ClassVar[int] = 2
    exhausted_error: ClassVar[str] = "placeholder_lost"

    def serves(self, spec: ModelSpec, params: TranslateParams) -> bool:
        pairs = _options(spec).pairs
        return any(params.source in (None, source) and params.target in (None, target) for source, target in pairs)

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        pairs = [f"{source}→{target}" for spec in specs for source, target in _options(spec).pairs]
        return kind.unknown("language pair", pairs, "target")

    def check(self, spec: ModelSpec, params: TranslateParams, item: TranslateItem) -> None:
        pair = _pair(params, item)
        if None in pair:
            raise InvalidInput("neither the job nor this item names the language", "target" if pair[0] else "source")
        if pair not in _options(spec).pairs:
            known = [f"{source}→{target}" for source, target in _options(spec).pairs]
            raise kind.unknown("language pair", known, "target")

    def decoding(self, spec: ModelSpec, params: TranslateParams, item: TranslateItem, attempt: int) -> Decoding:
        is_scored = params.score or _options(spec).unsure_below is not None
        return Decoding(max_new_tokens=spec.max_new_tokens, score=is_scored, beams=params.beams)

    def prompts(
        self, model: KindModel, params: TranslateParams, items: Sequence[TranslateItem], attempt: int
    ) -> list[list[Prompt]]:
        texts = [_translation(model, params, item, attempt).sentences() for item in items]
        frame_of = cache(partial(_Frame.of, model))
        frames = [frame_of(_pair(params, item)) if each else None for item, each in zip(items, texts, strict=True)]
        rows = list(zip(frames, texts, strict=True))
        read = [(frame.text, sentence) for frame, each in rows if frame for sentence in each]
        ids = iter(model.tokenizer.encode_after(read))
        return [[frame.prompt(next(ids)) for _ in each] if frame else [] for frame, each in rows]

    def output(
        self,
        model: KindModel,
        params: TranslateParams,
        item: TranslateItem,
        answers: Sequence[ModelAnswer],
        attempt: int,
    ) -> dict[str, Any] | None:
        text = _translation(model, params, item, attempt).filled([answer.text for answer in answers])
        if text is None:
            return None
        cut = any(answer.finish_reason == "length" for answer in answers)
        return {"text": text, "finish_reason": "length" if cut else "stop"} | params.scored(answers)

    def output_fields(self, specs: Sequence[ModelSpec]) -> Collection[FieldPath] | None:
        return [("text",), ("finish_reason",), ("score",)]

    def warnings(
        self,
        model: KindModel,
        params: TranslateParams,
        item: TranslateItem,
        output: dict[str, Any],
        answers: Sequence[ModelAnswer],
    ) -> Sequence[str]:
        from lengthwise.kinds.translation import doubts

        if blank := super().warnings(model, params, item, output, answers):
            return blank
        found = doubts(item.text, output["text"], _pair(params, item))
        return [*found, "unsure"] if _is_unsure(_options(model.spec), answers) else found


def _translation(model: KindModel, params: TranslateParams, item: TranslateItem, attempt: int) -> "TextTranslation":
    from lengthwise.kinds.translation import ReadingLimit, TextTranslation

    options, pair = _options(model.spec), _pair(params, item)
    return TextTranslation(
        item.text,
        *pair,
        params.format,
        params.placeholders,
        is_by_sentence=options.unit == "sentence",
        copies_marks=options.placeholders == "copy",
        is_first=attempt == 0,
        limit=ReadingLimit(
            model, lambda: _Frame.of(model, pair).n_tokens, options.with_languages(options.text_prefix, pair)
        ),
    )


def _is_unsure(options: TranslateOptions, answers: Sequence[ModelAnswer]) -> bool:
    """Whether the model itself gave the translation little probability. Each answer has an end token, too."""
    known = [answer for answer in answers if answer.log_probability is not None]
    if options.unsure_below is None or not known:
        return False
    log_probability = sum(answer.log_probability or 0.0 for answer in known)
    return log_probability < options.unsure_below * sum(answer.n_tokens + 1 for answer in known)


#: Used while a model is prepared that ``models.toml`` does not name.
_NO_OPTIONS = TranslateOptions(pairs=(("", ""),))


def _options(spec: ModelSpec) -> TranslateOptions:
    return spec.options_of("translate", _NO_OPTIONS)


def _pair(params: TranslateParams, item: TranslateItem) -> _Pair:
    return item.source or params.source, item.target or params.target


@dataclass(frozen=True, slots=True)
class _Frame:
    """The text and the tokens around each sentence of a language pair, and the limit of its translation."""

    text: str
    before: list[int]
    after: list[int]
    forced: tuple[int, ...]
    max_new_tokens: int

    @classmethod
    def of(cls, model: KindModel, pair: _Pair) -> "_Frame":
        options, tokenizer = _options(model.spec), model.tokenizer
        before = tokenizer.special(options.with_languages(options.source_prefix, pair))
        forced = tokenizer.special(options.with_languages(options.target_prefix, pair))
        after = [] if tokenizer.eos is None else [tokenizer.eos]
        text = options.with_languages(options.text_prefix, pair)
        return cls(text, before, after, tuple(forced), model.spec.max_new_tokens)

    @property
    def n_tokens(self) -> int:
        """The tokens around those of the text."""
        return len(self.before) + len(self.after)

    def prompt(self, ids: list[int]) -> Prompt:
        tokens = self.before + ids
        # A translation is seldom twice as long as its source: stop a model that does not end by itself.
        limit = min(self.max_new_tokens, 2 * len(tokens) + 32)
        return Prompt(tokens + self.after, limit, self.forced)
