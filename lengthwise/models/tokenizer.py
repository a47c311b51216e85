"""A model's own tokenizer, without torch. The API counts tokens with it, and workers tokenize with it."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec

#: Texts that are tokenized at a time: few enough that what the library allocates fits a core's cache.
_STRIDE = 64


class ModelTokenizer:
    """Turns texts into token ids. Texts never become control tokens: ``</s>`` in a text is four plain characters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plain = _read(folder)
        self._plain.encode_special_tokens = True
        # A second tokenizer, because the flag above belongs to the tokenizer, which threads share.
        self._control = _read(folder)
        config = json.loads((folder / "config.json").read_bytes())
        self.eos = _first(config.get("eos_token_id"))

    def encode(self, texts: Sequence[str], *, framed: bool = False) -> list[list[int]]:
        """The ids of each text. ``framed`` adds what the tokenizer puts around an input, such as [CLS] and [SEP]."""
        return [encoding.ids for encoding in self._encodings(texts, framed)]

    def _encodings(self, texts: Sequence[str], framed: bool) -> Iterator[Any]:
        for start in range(0, len(texts), _STRIDE):
            yield from self._plain.encode_batch_fast(texts[start : start + _STRIDE], add_special_tokens=framed)

    def special(self, tokens: str) -> list[int]:
        """The ids of special tokens, separated by spaces. Raises ``ConfigurationError`` if the model lacks one."""
        ids = []
        for token in tokens.split():
            found = self._control.token_to_id(token)
            if found is None:
                raise ConfigurationError(f"the model's tokenizer has no token {token}")
            ids.append(found)
        return ids

    def control(self, text: str) -> list[int]:
        """The ids of a text that may contain special tokens, such as a chat template's. Never a customer's text."""
        ids: list[int] = self._control.encode(text, add_special_tokens=False).ids
        return ids

    def decode_batch(self, many: Sequence[Sequence[int]]) -> list[str]:
        """The text of each list of ids, without special tokens."""
        texts: list[str] = self._plain.decode_batch(many, skip_special_tokens=True)
        return texts


class CountingTokenizer(ModelTokenizer):
    """A tokenizer for callers that need only lengths. It returns the right number of ids, all of them zero."""

    def encode(self, texts: Sequence[str], *, framed: bool = False) -> list[list[int]]:
        return [[0] * len(encoding) for encoding in self._encodings(texts, framed)]


def _read(folder: Path) -> Any:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ConfigurationError(f"{path} does not exist: a model needs its tokenizer in this form")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _first(value: int | list[int] | None) -> int | None:
    return value[0] if isinstance(value, list) else value


_loaded = cache(ModelTokenizer)
_counting = cache(CountingTokenizer)


def load(spec: ModelSpec) -> ModelTokenizer:
    """The model's tokenizer, which is loaded once per process."""
    return _loaded(spec.folder)


def load_counting(spec: ModelSpec) -> ModelTokenizer:
    """The model's tokenizer for lengths only, which is loaded once per process."""
    return _counting(spec.folder)
