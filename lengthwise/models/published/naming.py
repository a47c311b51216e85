"""Names that strangers chose, as a message can show them."""

_MOST_CHARACTERS = 120


def said(name: object) -> str:
    """The name, at most 120 characters of it; in quotes if it has characters that would change a line or a screen."""
    text = str(name)
    short = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
    return short if short.isprintable() else repr(short)
