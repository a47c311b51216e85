"""How a CSV file is written: what separates its columns, and its encoding."""

import codecs
from collections.abc import Iterable, Iterator
from io import IncrementalNewlineDecoder, StringIO

#: What may separate the columns if the caller does not say it.
DELIMITERS = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "\\t": "\t"}
#: Python's encodings of texts that are no encodings of files.
_NO_FILES = {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"}

#: Stands for bytes that are no characters. No text that was decoded strictly holds it.
_UNREADABLE = "\udfff"
_HANDLER = "lengthwise.unreadable"
codecs.register_error(_HANDLER, lambda error: (_UNREADABLE, error.end))  # type: ignore[attr-defined]


def delimiter(given: str) -> str:
    """The character that separates columns; ``tab`` and ``\\t`` name the tab. Raises ``ValueError``."""
    found = _NAMES.get(given, given)
    if len(found) != 1 or found in '"\r\n\0\ufeff' or "\ud800" <= found <= "\udfff":
        raise ValueError("must be one character, such as ; or tab, and neither a quote nor the end of a line")
    return found


def encoding(given: str) -> str:
    """The encoding's name in Python. Raises ``ValueError``."""
    try:
        found = codecs.lookup(given) if given.isascii() else None
    except LookupError:
        found = None
    is_text = found is not None and getattr(found, "_is_text_encoding", True)
    if found is None or not is_text or found.name in _NO_FILES:
        raise ValueError("must be an encoding of texts, such as utf-8, utf-16, windows-1252, gb18030 or shift_jis")
    return found.name


def lines(parts: Iterable[bytes], named: str, limit: int | None = None) -> Iterator[str]:
    """The lines with their ends, without a byte order mark. A line that is longer than ``limit`` may be cut.

    A line ends at ``\\n``, ``\\r\\n`` or ``\\r``, as in Python's own text files.

    Raises ``UnicodeError`` in place of a line with bytes that are no characters of the encoding.
    """
    decoder = IncrementalNewlineDecoder(codecs.getincrementaldecoder(named)(_HANDLER), translate=False)
    rest, is_first = "", True
    for part in parts:
        text = decoder.decode(part)
        if is_first and text:
            text, is_first = text.removeprefix("\ufeff"), False
        joined = rest + text
        is_readable = joined.isascii() or _UNREADABLE not in joined
        rest = ""
        for line in StringIO(joined, newline=""):  # ends lines at \n, \r\n and \r, and leaves these as they are
            if line.endswith(("\n", "\r")):
                yield line if is_readable else _readable(line)
            else:
                rest = line
        if limit is not None and len(rest) > limit:
            yield _readable(rest)
            rest = ""
    for line in StringIO(rest + decoder.decode(b"", True), newline=""):
        yield _readable(line)


def _readable(line: str) -> str:
    if _UNREADABLE in line:
        raise UnicodeError("bytes that are no characters")
    return line
