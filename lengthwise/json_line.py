"""Lines of JSON that every reader takes for one line each.

JSON may hold U+0085, U+2028 and U+2029 as they are. But ``str.splitlines`` ends a line there, and with it httpx and the
SDKs of OpenAI. So they are escaped. JSON itself escapes all other characters that end a line.
"""

from typing import Any

from pydantic_core import to_json

_NEXT_LINE, _LINE_SEPARATOR, _PARAGRAPH_SEPARATOR = "\u0085".encode(), "\u2028".encode(), "\u2029".encode()
_C2, _E2 = _NEXT_LINE[0], _LINE_SEPARATOR[0]


def written(value: Any) -> bytes:
    """The value as a line of JSON, with its newline. Raises what ``to_json`` raises."""
    return escaped(to_json(value)) + b"\n"


def escaped(text: bytes) -> bytes:
    """The same JSON, of one line or of many. In UTF-8 these bytes occur only inside of strings."""
    # One byte is found far faster than several, and few lines have one of these two.
    if _E2 in text and (_LINE_SEPARATOR in text or _PARAGRAPH_SEPARATOR in text):
        text = text.replace(_LINE_SEPARATOR, b"\\u2028").replace(_PARAGRAPH_SEPARATOR, b"\\u2029")
    if _C2 in text and _NEXT_LINE in text:
        text = text.replace(_NEXT_LINE, b"\\u0085")
    return text
