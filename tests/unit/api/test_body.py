"""The lines of an NDJSON body, which is read in blocks."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http import body
from lengthwise.errors import TooLarge

LIMIT = 9


def read(data: bytes, block: int) -> tuple[list[bytes], str | None]:
    """The lines before the first that is too long, and the name of that line."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body, "_BLOCK", block)
        try:
            for line in body.lines(BytesIO(data), LIMIT):
                found.append(line)
        except TooLarge as error:
            return found, error.field
    return found, None


def naive(data: bytes) -> tuple[list[bytes], str | None]:
    found: list[bytes] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line.rstrip(b"\r")) > LIMIT:
            return found, f"line {number}"
        if line.strip():
            found.append(line)
    return found, None


@given(data=st.lists(st.sampled_from([b"a", b" ", b"\n", b"\r", b"\r\n", b"bcdef", b"123456789"])).map(b"".join),
       block=st.integers(1, 40))  # fmt: skip
def test_lines_are_the_same_however_they_are_cut_into_blocks(data: bytes, block: int) -> None:
    (found, too_long), (expected, expected_too_long) = read(data, block), naive(data)
    # Only some of the carriage returns before a newline are kept; they count as blanks.
    assert [line.rstrip(b"\r") for line in found] == [line.rstrip(b"\r") for line in expected]
    assert too_long == expected_too_long


def test_an_endless_line_is_refused_before_it_fills_memory() -> None:
    class Endless(BytesIO):
        given = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.given += 1
            assert self.given < 10
            return b"x" * (size or 0)

    with pytest.raises(TooLarge):
        list(body.lines(Endless(), 3 * body._BLOCK))
