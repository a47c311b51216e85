"""The header ``traceparent`` of W3C Trace Context: https://www.w3.org/TR/trace-context/#traceparent-header."""

import re

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
_LENGTH = 55


def parse(header: str | None) -> str | None:
    """The header in version 00; None if it is missing or not well-formed. A caller writes it, so nothing else passes.

    Of a later version, what a longer header adds is unknown, so only the form of version 00 is taken.
    """
    if header is None or len(header) != _LENGTH:
        return None
    found = _FORM.fullmatch(header)
    if found is None or not (found[1].strip("0") and found[2].strip("0")):
        return None
    return f"00-{found[1]}-{found[2]}-{found[3]}"


def trace_id(traceparent: str | None) -> str | None:
    """The id of the whole trace: 32 hexadecimal digits."""
    return traceparent.split("-")[1] if traceparent else None
