"""Translation: one language into another, placeholders kept intact."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lengthwise import placeholder
from lengthwise.catalog import ModelSpec, TranslateOptions
from lengthwise.clean import clean
from lengthwise.errors import InvalidInput
from lengthwise.kinds import kind
from lengthwise.kinds.kind import Answer, Decoding, Model, Prompt

Language = Annotated[str, Field(min_length=2, max_length=16, examples=["zh"])]


class Params(kind.Params):
    source: Language | None = Field(default=None, description="The texts' language, unless an item names its own.")
    target: Language | None = Field(default=None, description="The language to translate into, likewise.")


class Item(kind.Item):
    text: kind.Text = Field(min_length=1)
    source: Language | None = None
    target: Language | None = None

    def texts(self) -> list[str]:
        return [self.text]


class Translate:
    name: ClassVar[str] = "translate"
    params_type: ClassVar[type[kind.Params]] = Params
    item_type: ClassVar[type[kind.Item]] = Item

    def serves(self, spec: ModelSpec, params: Params) -> bool:
        pairs = _options(spec).pairs
        return any(params.source in (None, source) and params.target in (None, target) for source, target in pairs)

    def check(self, spec: ModelSpec, params: Params, item: Item) -> None:
        pair = _pair(params, item)
        if None in pair:
            raise InvalidInput("neither the job nor this item names the language", "target" if pair[0] else "source")
        if pair not in _options(spec).pairs:
            known = [f"{source}→{target}" for source, target in _options(spec).pairs]
            raise kind.unknown("language pair", known, "target")

    def decoding(self, spec: ModelSpec, params: Params) -> Decoding:
        return Decoding(max_new_tokens=spec.max_new_tokens)

    def prompts(
        self, model: Model, params: Params, items: Sequence[Item], *, retry: bool = False
    ) -> list[list[Prompt]]:
        split = retry or _options(model.spec).placeholders == "split"
        sources = [_source(clean(item.text, keep_tags=True), split=split) for item in items]
        ids = iter(model.tokenizer.encode([text for texts, _ in sources for text in texts]))
        found = []
        for item, (texts, values) in zip(items, sources, strict=True):
            before, forced = _prefixes(model, params, item)
            found.append([_prompt(model, before + next(ids), forced, values) for _ in texts])
        return found

    def output(
        self, model: Model, params: Params, item: Item, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> dict[str, Any] | None:
        if prompts and prompts[0].values is not None:
            text = placeholder.restore(answers[0].text, prompts[0].values)
        else:
            text = placeholder.join(
                placeholder.split(clean(item.text, keep_tags=True)), [answer.text for answer in answers]
            )
        cut = any(answer.finish_reason == "length" for answer in answers)
        return None if text is None else {"text": text, "finish_reason": "length" if cut else "stop"}


def _options(spec: ModelSpec) -> TranslateOptions:
    return spec.translate or TranslateOptions(pairs=(("", ""),))


def _pair(params: Params, item: Item) -> tuple[str | None, str | None]:
    return item.source or params.source, item.target or params.target


def _source(text: str, *, split: bool) -> tuple[list[str], tuple[str, ...] | None]:
    """What the model reads: the text with marks for its placeholders, and what they stand for; or, where it is to be
    split or has more placeholders than there are marks, the stretches between them. Of a text without words, nothing.
    """
    stretches = [piece.text for piece in placeholder.split(text) if piece.is_text]
    if split or not stretches:
        return stretches, None
    protected = placeholder.protect(text)
    is_whole = len(protected.values) < placeholder.LIMIT or not placeholder.protect(protected.text).values
    return ([protected.text], protected.values) if is_whole else (stretches, None)


def _prefixes(model: Model, params: Params, item: Item) -> tuple[list[int], tuple[int, ...]]:
    options = _options(model.spec)
    source, target = (options.codes.get(code or "", code) for code in _pair(params, item))
    special = model.tokenizer.special
    before = special(options.source_prefix.format(source=source, target=target))
    forced = special(options.target_prefix.format(source=source, target=target))
    return before, tuple(forced)


def _prompt(model: Model, ids: list[int], forced: tuple[int, ...], values: tuple[str, ...] | None) -> Prompt:
    end = [] if model.tokenizer.eos is None else [model.tokenizer.eos]
    # A translation is seldom twice as long as its source; a model that rambles is cut rather than waited for.
    limit = min(model.spec.max_new_tokens, 2 * len(ids) + 32)
    return Prompt(ids + end, limit, forced, values)
