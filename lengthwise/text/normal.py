"""What is changed in every text to translate: Unicode's composed form (NFC), and no control characters.

All else of the text, blanks and invisible characters included, is as it was sent.
"""

import re
import unicodedata

#: All control characters but tabs and those that end a line.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")


def normal(text: str) -> str:
    """``text`` in NFC and without control characters. A text that is so already is returned as it is."""
    if text.isascii():
        return text if text.isprintable() else _CONTROL.sub("", text)
    return unicodedata.normalize("NFC", _CONTROL.sub("", text))
