"""Which tokens of a tokenizer steer the model, so that no caller's text may become one."""

import re
from typing import Any

#: Elements that some tokenizers have words for. ``<s>`` is left out, as it also begins a prompt.
_HTML = re.compile(
    r"</?(?:a|b|blockquote|br|caption|code|div|em|h[1-6]|hr|i|img|li|ol|p|pre|span|strong|sub|sup"
    r"|table|tbody|td|tfoot|th|thead|tr|u|ul)>"
)
#: What a normalizer leaves as it is, and no vocabulary has a word for.
_STRANGE = ("\ufdd0", "\ue000", "\U0010fffd")


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """The text of each control token by its id.

    These are a tokenizer's added tokens, with ``special`` or without. Only further words are none: blanks, letters and
    digits, single characters and elements of HTML, all without ``special``.
    """
    added = tokenizer.get_added_tokens_decoder()
    return {number: token.content for number, token in added.items() if token.special or not _is_word(token.content)}


def _is_word(text: str) -> bool:
    is_plain = all(character.isalnum() or character.isspace() or character == "▁" for character in text)
    return len(text) == 1 or is_plain or _HTML.fullmatch(text) is not None


def unknown_ids(tokenizer: Any) -> set[int]:
    """The ids of characters that the model does not know, found by trying. ``tokenizer`` finds no control tokens."""
    return {number for text in _STRANGE for number in tokenizer.encode(text, add_special_tokens=False).ids}
