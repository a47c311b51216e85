"""A model that answers each sentence with a function of it, such as the sentence itself. All else is our doing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import KindModel, ModelAnswer
from lengthwise.kinds.translate import TranslateOptions
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.model_shapes import SentenceShape


class CodePoints:
    """A tokenizer with a token a character, as kinds use it."""

    eos = None

    def encode(self, texts: Sequence[str], *, framed: bool = False) -> list[list[int]]:
        return [list(map(ord, text)) for text in texts]

    def encode_after(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        return self.encode([before + text for before, text in pairs])

    def special(self, tokens: str) -> list[int]:
        return list(map(ord, tokens))


def identity_model(*, placeholders: str = "split", unit: str = "sentence", context: int = 512) -> KindModel:
    languages = ["ar", "de", "en", "fr", "hi", "ja", "ru", "zh"]
    pairs = tuple((source, target) for source in languages for target in languages if source != target)
    options = TranslateOptions.model_validate({"pairs": pairs, "placeholders": placeholders, "unit": unit})
    spec = ModelSpec(name="identity", path=Path("identity"), kind_options={"translate": options})
    spec.__dict__.update(config={"max_position_embeddings": context}, sentences=SentenceShape())
    return KindModel(spec, CodePoints())  # type: ignore[arg-type]


def translation(
    model: KindModel,
    item: dict[str, Any] | str,
    answer: Callable[[str], str] = str,
    *,
    attempt: int = 0,
    **params: Any,
) -> str | None:
    """The translation of an item by a model that gives ``answer(sentence)``; None if it must run again."""
    kind = KINDS["translate"]
    checked = kind.item_type.model_validate({"text": item} if isinstance(item, str) else item)
    options = kind.params_type.model_validate({"source": "en", "target": "de"} | params)
    [prompts] = kind.prompts(model, options, [checked], attempt)
    answers = [ModelAnswer(answer("".join(map(chr, prompt.tokens))), "stop") for prompt in prompts]
    output = kind.output(model, options, checked, answers, attempt)
    return None if output is None else output["text"]


def sentences_read(model: KindModel, text: str, *, attempt: int = 0, **params: Any) -> list[str]:
    """What the model reads of a text."""
    read: list[str] = []

    def note(sentence: str) -> str:
        read.append(sentence)
        return sentence

    translation(model, text, note, attempt=attempt, **params)
    return read
