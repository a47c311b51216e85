"""Lines of JSON that every reader takes for one line each.

JSON may hold U+0085, U+2028 and U+2029 as they are. But ``str.splitlines`` ends a line there, and with it httpx and the
SDKs of OpenAI. So they are escaped. JSON itself escapes all other characters that end a line.
"""

from typing import Any

from pydantic_core import to_json

_NEXT_LINE, _LINE_SEPARATOR, _PARAGRAPH_SEPARATOR = "\u0085".encode(), "\u2028".encode(), "\u2029".encode()


def written(value: Any) -> bytes:
    """The value as a line of JSON, with its newline. Raises what ``to_json`` raises."""
    return escaped(to_json(value)) + b"\n"


def escaped(text: bytes) -> bytes:
    """The same JSON, of one line or of many. In UTF-8 these bytes occur only inside of strings."""
    # A single byte is found far faster than three, and few lines have both the first and the last of one of these.
    if 0xE2 in text:
        if 0xA8 in text:
            text = text.replace(_LINE_SEPARATOR, b"\\u2028")
        if 0xA9 in text:
            text = text.replace(_PARAGRAPH_SEPARATOR, b"\\u2029")
    if 0xC2 in text and 0x85 in text:
        text = text.replace(_NEXT_LINE, b"\\u0085")
    return text
