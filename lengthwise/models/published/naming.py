"""Names and texts that strangers chose, as a message can show them."""

_MOST_CHARACTERS = 120


def printable(text: str) -> str:
    """The text, with an escape for each character that would change a line or a screen, except the end of a line."""
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


def said(name: object) -> str:
    """The name, at most 120 characters of it; in quotes if it has characters that would change a line or a screen."""
    text = str(name)
    short = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
    return short if short.isprintable() else repr(short)
