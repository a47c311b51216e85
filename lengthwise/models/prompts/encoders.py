"""A model's tokenizer in three ways: as it was published, and without control tokens at a beginning and elsewhere."""

import re
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

from tokenizers import AddedToken, pre_tokenizers

from lengthwise.models.prompts.control_tokens import control_tokens, unknown_ids
from lengthwise.models.prompts.marked import OURS, Marked, marks

_OURS = re.compile(OURS + b"+")
#: Pieces of templates, of which the control tokens are remembered. A template has a dozen.
_REMEMBERED = 1000


class Encoders:
    """``whole`` is the tokenizer as it was published. ``plain`` and ``later`` know no control token.

    ``read`` reads the tokenizer anew: what the others change belongs to a tokenizer, which threads share.
    """

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self.whole = read()
        #: The control tokens' texts by their ids.
        self.control = control_tokens(self.whole)
        self.plain = self._read_plain()
        self._own = lru_cache(_REMEMBERED)(self._controls_of)

    def _read_plain(self) -> Any:
        # The flag ignores special tokens alone, so all control tokens become such.
        made = self._read()
        made.add_special_tokens([AddedToken(text, special=True) for text in self.control.values()])
        made.encode_special_tokens = True
        return made

    @cached_property
    def later(self) -> Any:
        """``plain`` for a text that does not begin its input: some put a blank before the first one alone."""
        parts = _parts(self.plain.pre_tokenizer)
        if not any(getattr(part, "prepend_scheme", None) == "first" for part in parts):
            return self.plain
        made = self._read_plain()
        for part in _parts(made.pre_tokenizer):
            if getattr(part, "prepend_scheme", None) == "first":
                part.prepend_scheme = "never"
        return made

    @cached_property
    def unknown(self) -> set[int]:
        """The control tokens that stand for unknown characters as well."""
        return unknown_ids(self.plain) & self.control.keys()

    @cached_property
    def reachable(self) -> set[int]:
        """The control tokens that the model itself finds in a text of their name, although nothing looks for them."""
        encodings = self.plain.encode_batch_fast(list(self.control.values()), add_special_tokens=False)
        found = {number for encoding in encodings for number in encoding.ids}
        return (found & self.control.keys()) - self.unknown

    @cached_property
    def are_plain(self) -> bool:
        """Whether a control token of a template's cannot be lost, with one of a caller's in its place."""
        return all(map(_is_plain, self.whole.get_added_tokens_decoder().values()))

    @cached_property
    def special(self) -> set[int]:
        """The tokens that are left out when an answer becomes text."""
        return {number for number, token in self.whole.get_added_tokens_decoder().items() if token.special}

    def controls(self, ids: list[int]) -> list[int]:
        """Those of the ids that are control tokens."""
        return list(filter(self.control.__contains__, ids))

    def _controls_of(self, text: str) -> list[int]:
        return self.controls(self.whole.encode(text, add_special_tokens=False).ids)

    def own_controls(self, text: Marked) -> list[int]:
        """The control tokens of what the template wrote, each piece of it read by itself."""
        plain = text.plain()
        return [each for piece in _OURS.finditer(marks(text)) for each in self._own(plain[slice(*piece.span())])]


def _is_plain(token: Any) -> bool:
    """Whether a token is found wherever its text is, and in one place: no beginning of the text is also its end."""
    text = token.content
    return not (
        token.normalized or token.single_word or any(text.endswith(text[:length]) for length in range(1, len(text)))
    )


def _parts(pre_tokenizer: Any) -> list[Any]:
    """The steps of a sequence of pre-tokenizers, or the only one."""
    steps: Any = pre_tokenizer if isinstance(pre_tokenizer, pre_tokenizers.Sequence) else [pre_tokenizer]
    return list(steps)
