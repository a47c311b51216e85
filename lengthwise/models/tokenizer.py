"""A model's own tokenizer, without torch. The API counts tokens with it, and workers tokenize with it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property, partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from tokenizers import Tokenizer

from lengthwise.confined import Budget
from lengthwise.errors import ConfigurationError, Unanswerable
from lengthwise.models import model_file, model_shapes, trial
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.prompts import encoding as prompts
from lengthwise.models.prompts.encoders import Encoders
from lengthwise.models.prompts.marked import Marked, as_marked

TOKENIZER = "tokenizer.json"
#: Texts that are tokenized at a time: few enough that what the library allocates fits a core's cache.
_STRIDE = 64
#: What loading and trying a tokenizer may cost. One of 262,000 words takes 0.7 s and 300 MB.
_BUDGET = Budget(seconds=20, memory_bytes=4 << 30)
#: Texts on which patterns that backtrack need a time that doubles with each character, or grows with its cube.
_RUNS, _ENDS = ("a", "A", "1", " ", "\n", "'", "-", "aA1 ", "你"), ("", "!", "\0")
_TRIAL_TEXTS = [run * 3000 + end for run in _RUNS for end in _ENDS]
#: Windows of a long text overlap by this part, so that a passage which is shorter than that is whole in one of them.
_OVERLAP = 1 / 4


class TokenWindow(NamedTuple):
    """The ids of a part of a text, with what frames an input, and the characters from ``start`` to ``end``."""

    ids: list[int]
    start: int
    end: int


@contextmanager
def _panics_named() -> Iterator[None]:
    """Raises ``Unanswerable`` where the library panics, which it does on some texts.

    Its error is no ``Exception``, and has no name that can be imported. Nobody else would catch it.
    """
    try:
        yield
    except BaseException as error:
        if (type(error).__module__, type(error).__name__) != ("pyo3_runtime", "PanicException"):
            raise
        raise Unanswerable("untokenizable") from None  # its message may quote the text


class ModelTokenizer:
    """Turns texts into token ids. Texts never become control tokens: ``</s>`` in a text is four plain characters.

    What takes texts raises ``Unanswerable`` if the library panics on one of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._encoders = Encoders(partial(_read, folder))
        self.eos = _first(model_shapes.read_config(folder).get("eos_token_id"))

    @_panics_named()
    def encode(self, texts: Sequence[str], *, framed: bool = False) -> list[list[int]]:
        """The ids of each text. ``framed`` adds what the tokenizer puts around an input, such as [CLS] and [SEP]."""
        encodings = self._encodings(texts, framed)
        reachable = self._encoders.reachable
        if not reachable:
            return [self._ids(encoding) for encoding in encodings]
        return [
            # Each look at ``ids`` makes a list.
            ids if reachable.isdisjoint(ids := encoding.ids) else self._barred(text, encoding)
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def encode_after(self, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
        """The ids of each text behind a prefix, which the operator wrote. Only prefixes have control tokens."""
        if not any(before for before, _ in pairs):
            return self.encode([text for _, text in pairs])
        return [self.encode_marked(as_marked(before) + Marked(text)) for before, text in pairs]

    def _barred(self, text: str, encoding: Any) -> list[int]:
        """The ids of a text in which the model may have found control tokens, with what frames the encoding."""
        ids, is_frame = encoding.ids, encoding.special_tokens_mask
        if 0 not in is_frame:
            return self._ids(encoding)
        first = is_frame.index(0)
        end = len(ids) - is_frame[::-1].index(0)
        if self._encoders.reachable.isdisjoint(ids[first:end]):
            return self._ids(encoding)
        return [*ids[:first], *prompts.encode_plain(self._encoders, text, is_first=True), *ids[end:]]

    @_panics_named()
    def windows(self, texts: Sequence[str], size: int) -> list[list[TokenWindow]]:
        """Each text framed, as one window, or as several that overlap if it has more than ``size`` tokens."""
        return [
            [TokenWindow(ids, 0, len(text))] if len(ids) <= size else self._cut(text, size)
            for text, ids in zip(texts, self.encode(texts, framed=True), strict=True)
        ]

    @_panics_named()
    def cut(self, texts: Sequence[str], encoded: Sequence[list[int]], size: int) -> list[list[int]]:
        """The ids of texts, which ``encode`` gave framed; a text of more than ``size`` tokens loses those of its end.

        The frame stays, and so does one token at least. So transformers' tokenizers truncate, too.
        """
        return [
            ids if len(ids) <= size else self._cut(text, size)[0].ids for text, ids in zip(texts, encoded, strict=True)
        ]

    def _cut(self, text: str, size: int) -> list[TokenWindow]:
        encoding = self._encoders.plain.encode(text)
        ids, is_frame = self._ids(encoding), encoding.special_tokens_mask
        if 0 not in is_frame:
            return [TokenWindow(ids, 0, len(text))]
        first, end = is_frame.index(0), len(ids) - is_frame[::-1].index(0)
        own = list(zip(ids, encoding.offsets, strict=True))[first:end]
        if not self._encoders.reachable.isdisjoint(encoding.ids[first:end]):
            own = prompts.placed_plain(self._encoders, text, is_first=True)
        room = max(1, size - first - (len(ids) - end))
        overlap = int(room * _OVERLAP)
        windows = []
        for start in range(0, max(1, len(own) - overlap), room - overlap):
            part = own[start : start + room]
            framed = [*ids[:first], *(number for number, _ in part), *ids[end:]]
            windows.append(TokenWindow(framed, part[0][1][0], part[-1][1][1]))
        return windows

    def _ids(self, encoding: Any) -> list[int]:
        ids: list[int] = encoding.ids
        return ids

    def _encodings(self, texts: Sequence[str], framed: bool) -> Iterator[Any]:
        for start in range(0, len(texts), _STRIDE):
            yield from self._encoders.plain.encode_batch_fast(texts[start : start + _STRIDE], add_special_tokens=framed)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """All tokens, control tokens included."""
        return frozenset(self._encoders.whole.get_vocab())

    def special(self, tokens: str) -> list[int]:
        """The ids of special tokens, separated by spaces. Raises ``ConfigurationError`` if the model lacks one."""
        ids = []
        for token in tokens.split():
            found = self._encoders.whole.token_to_id(token)
            if found is None:
                raise ConfigurationError(f"the model's tokenizer has no token {token}")
            ids.append(found)
        return ids

    @_panics_named()
    def encode_answer(self, text: str) -> list[int]:
        """The ids of a text that the model wrote. A special token in it is plain text."""
        ids: list[int] = self._encoders.whole.encode(text, add_special_tokens=False).ids
        return ids if self._encoders.special.isdisjoint(ids) else self.encode([text])[0]

    def ids_of(self, *tokens: str) -> list[int]:
        """The ids of these tokens; empty if the model lacks one."""
        found = [self._encoders.whole.token_to_id(token) for token in tokens]
        return [] if None in found else found

    @_panics_named()
    def encode_marked(self, text: Marked) -> list[int]:
        """The ids of a rendered conversation. What is marked in it as a caller's never becomes a control token."""
        return prompts.encode_marked(self._encoders, text)

    def decode_batch(self, many: Sequence[Sequence[int]]) -> list[str]:
        """The text of each list of ids, without special tokens."""
        texts: list[str] = self._encoders.whole.decode_batch(many, skip_special_tokens=True)
        return texts


class CountingTokenizer(ModelTokenizer):
    """A tokenizer for callers that need only lengths. It returns the right number of ids, of any values."""

    def _ids(self, encoding: Any) -> list[int]:
        return [0] * len(encoding)


def _read(folder: Path) -> Any:
    if not model_file.exists(folder, TOKENIZER):
        raise ConfigurationError(f"{folder / TOKENIZER} does not exist: a model needs its tokenizer in this form")
    content = read_tried(folder)
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing narrower
        raise ConfigurationError(f"{TOKENIZER} cannot be read ({type(error).__name__})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def read_tried(folder: Path) -> bytes:
    """The content of ``tokenizer.json``, once it can be used. Raises ``ConfigurationError`` if it cannot."""
    content = model_file.read(folder, TOKENIZER)
    trial.run(f"{__name__}:tried", content, TOKENIZER, _BUDGET)
    return content


def tried(request: bytes, _file: IO[bytes] | None) -> Iterator[bytes]:
    """Loads and uses the tokenizer of these bytes. Runs in a confined child (``trial``)."""
    tokenizer = Tokenizer.from_buffer(request)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for text in _TRIAL_TEXTS:
        ids = tokenizer.encode(text).ids
        tokenizer.decode(ids)
    yield b""


def _first(value: int | list[int] | None) -> int | None:
    return next(iter(value), None) if isinstance(value, list) else value


_loaded = cache(ModelTokenizer)
_counting = cache(CountingTokenizer)


def load(spec: ModelSpec) -> ModelTokenizer:
    """The model's tokenizer, which is loaded once per process."""
    return _loaded(spec.folder)


def load_counting(spec: ModelSpec) -> ModelTokenizer:
    """The model's tokenizer for lengths only, which is loaded once per process."""
    return _counting(spec.folder)
