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
        if len(line) > LIMIT + 2 or len(line.rstrip(b"\r")) > LIMIT:
            return found, f"line {number}"
        if line.strip():
            found.append(line)
    return found, None


@given(data=st.lists(st.sampled_from([b"a", b" ", b"\n", b"\r", b"\r\n", b"bcdef", b"123456789"])).map(b"".join),
       block=st.integers(1, 40))  # fmt: skip
def test_lines_are_the_same_however_they_are_cut_into_blocks(data: bytes, block: int) -> None:
    assert read(data, block) == naive(data)


def test_an_endless_line_is_refused_before_it_fills_memory() -> None:
    class Endless(BytesIO):
        given = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.given += 1
            assert self.given < 10
            return b"x" * (size or 0)

    with pytest.raises(TooLarge):
        list(body.lines(Endless(), 3 * body._BLOCK))


@pytest.mark.parametrize("unit", [b"\r", b"a\r", b" "])
def test_a_line_of_carriage_returns_or_blanks_has_a_limit_too(unit: bytes) -> None:
    with pytest.raises(TooLarge) as refused:
        list(body.lines(BytesIO(b"{}\n" + unit * (4 * body._BLOCK)), 2 * body._BLOCK))
    assert refused.value.field == "line 2"


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b" \t\n", b"\xef\xbb\xbf\n"])
def test_blank_lines_are_skipped_up_to_a_number(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MOST_BLANK_LINES", 50_000)
    whole = b"{}\n" * 10 + line * 50_000 + b"{}\n"
    assert list(body.lines(BytesIO(whole), 100)) == [b"{}"] * 11
    with pytest.raises(TooLarge, match="at most 50000 blank lines"):
        list(body.lines(BytesIO(whole + line * (body._BLOCK // len(line))), 100))
