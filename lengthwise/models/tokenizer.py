"""A model's own tokenizer, without torch. The API counts tokens with it, and workers tokenize with it."""

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from lengthwise.confined import Budget
from lengthwise.errors import ConfigurationError
from lengthwise.models import model_file, model_shapes, trial
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.prompts import encoding as prompt_encoding
from lengthwise.models.prompts.control_tokens import control_tokens, unknown_ids
from lengthwise.models.prompts.encoding import Encoders
from lengthwise.models.prompts.marked import Marked

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


class ModelTokenizer:
    """Turns texts into token ids. Texts never become control tokens: ``</s>`` in a text is four plain characters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._control = _read(folder)
        self._control_tokens = control_tokens(self._control)
        # A second tokenizer, because its flag belongs to the tokenizer, which threads share.
        self._plain = self._read_plain()
        self.eos = _first(model_shapes.read_config(folder).get("eos_token_id"))

    def _read_plain(self) -> Any:
        """A tokenizer that knows no control token. The flag ignores special tokens, so all of them become such."""
        made = _read(self.folder)
        made.add_special_tokens([AddedToken(text, special=True) for text in self._control_tokens.values()])
        made.encode_special_tokens = True
        return made

    def encode(self, texts: Sequence[str], *, framed: bool = False) -> list[list[int]]:
        """The ids of each text. ``framed`` adds what the tokenizer puts around an input, such as [CLS] and [SEP]."""
        return [
            self._ids(encoding) if self._reachable.isdisjoint(encoding.ids) else self._barred(text, encoding)
            for text, encoding in zip(texts, self._encodings(texts, framed), strict=True)
        ]

    @cached_property
    def _reachable(self) -> frozenset[int]:
        """The control tokens that the model itself finds in a text of their name, although nothing looks for them."""
        encoders = self._encoders
        texts = list(encoders.control.values())
        encodings = self._plain.encode_batch_fast(texts, add_special_tokens=False)
        found = {number for encoding in encodings for number in encoding.ids}
        return frozenset((found & encoders.control.keys()) - encoders.unknown)

    def _barred(self, text: str, encoding: Any) -> list[int]:
        """The ids of a text in which the model may have found control tokens, with what frames the encoding."""
        ids, is_frame = encoding.ids, encoding.special_tokens_mask
        if 0 not in is_frame:
            return self._ids(encoding)
        first = is_frame.index(0)
        end = len(ids) - is_frame[::-1].index(0)
        if self._reachable.isdisjoint(ids[first:end]):
            return self._ids(encoding)
        return [*ids[:first], *prompt_encoding.encode_plain(self._encoders, text, is_first=True), *ids[end:]]

    def windows(self, texts: Sequence[str], size: int) -> list[list[TokenWindow]]:
        """Each text framed, as one window, or as several that overlap if it has more than ``size`` tokens."""
        return [
            [TokenWindow(self._ids(encoding), 0, len(text))] if len(encoding) <= size else self._cut(text, size)
            for text, encoding in zip(texts, self._encodings(texts, framed=True), strict=True)
        ]

    def _cut(self, text: str, size: int) -> list[TokenWindow]:
        encoding = self._plain.encode(text)
        ids, places = self._ids(encoding), encoding.offsets
        is_frame = encoding.special_tokens_mask
        first, end = is_frame.index(0), len(ids) - is_frame[::-1].index(0)
        room = max(1, size - first - (len(ids) - end))
        overlap = int(room * _OVERLAP)
        windows = []
        for start in range(first, max(first + 1, end - overlap), room - overlap):
            stop = min(start + room, end)
            framed = [*ids[:first], *ids[start:stop], *ids[end:]]
            windows.append(TokenWindow(framed, places[start][0], places[stop - 1][1]))
        return windows

    def _ids(self, encoding: Any) -> list[int]:
        ids: list[int] = encoding.ids
        return ids

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

    def encode_answer(self, text: str) -> list[int]:
        """The ids of a text that the model wrote. A special token in it is plain text, or else it would vanish again."""
        ids: list[int] = self._control.encode(text, add_special_tokens=False).ids
        return self.encode([text])[0] if self._special.intersection(ids) else ids

    @cached_property
    def _special(self) -> set[int]:
        return {number for number, token in self._control.get_added_tokens_decoder().items() if token.special}

    def ids_of(self, *tokens: str) -> list[int]:
        """The ids of these tokens; empty if the model lacks one."""
        found = [self._control.token_to_id(token) for token in tokens]
        return [] if None in found else found

    def encode_marked(self, text: Marked) -> list[int]:
        """The ids of a rendered conversation. What is marked in it as a caller's never becomes a control token."""
        return prompt_encoding.encode_marked(self._encoders, text)

    @cached_property
    def _encoders(self) -> Encoders:
        return Encoders(self._control, self._plain, self._later, self._control_tokens, unknown_ids(self._plain))

    def _later(self) -> Any:
        """The plain tokenizer for a text that does not begin its input: some put a blank before the first one alone."""
        return self._plain_later or self._plain

    @cached_property
    def _plain_later(self) -> Any:
        if b'"prepend_scheme":"first"' not in _state(self._plain.pre_tokenizer):
            return None
        made = self._read_plain()
        for part in _parts(made.pre_tokenizer):
            if getattr(part, "prepend_scheme", None) == "first":
                part.prepend_scheme = "never"
        return made

    def decode_batch(self, many: Sequence[Sequence[int]]) -> list[str]:
        """The text of each list of ids, without special tokens."""
        texts: list[str] = self._control.decode_batch(many, skip_special_tokens=True)
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


def _state(part: Any) -> bytes:
    """A part of a tokenizer as JSON; empty if there is none."""
    return bytes(part.__getstate__()) if part is not None else b""


def _parts(pre_tokenizer: Any) -> list[Any]:
    """The steps of a sequence of pre-tokenizers, or the only one."""
    steps: Any = pre_tokenizer if isinstance(pre_tokenizer, pre_tokenizers.Sequence) else [pre_tokenizer]
    return list(steps)


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
