"""A multipart form is read within limits, whatever precedes, follows or fills its file."""

import io

import pytest

from api.openai.upload import Upload
from lengthwise.errors import InvalidInput, TooLarge

BOUNDARY = "xxBOUNDARYxx"
MARK = b"--" + BOUNDARY.encode()
PURPOSE = b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
FILE = b'Content-Disposition: form-data; name="file"; filename="a"\r\n'
#: What costs a parser most if it looks at each byte, or calls back for it.
PATTERNS = [b"\r", b"\n", b"\r\n", b"\r\n-", b"\r\n--", b"\r\n" + MARK[:-1], b"-", BOUNDARY.encode(), b"\0"]
MIB = 2**20


def form(content: bytes, before: bytes = b"", after: bytes = b"", headers: bytes = b"", parts: bytes = b"") -> bytes:
    parts = MARK + b"\r\n" + PURPOSE + parts
    return before + parts + MARK + b"\r\n" + headers + FILE + b"\r\n" + content + b"\r\n" + MARK + b"--\r\n" + after


def uploaded(sent: bytes, max_lines: int = 10**8) -> bytes:
    taken = Upload(f"multipart/form-data; boundary={BOUNDARY}", 10**8, max_lines)
    return b"".join(taken.chunks(io.BytesIO(sent)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_file_of_any_bytes_arrives_whole_without_a_stall(pattern: bytes) -> None:
    content = pattern * (4 * MIB // len(pattern))
    assert uploaded(form(content)) == content


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_stands_around_the_parts_is_skipped_or_refused_without_a_stall(pattern: bytes) -> None:
    for around in ({"before": pattern * (4 * MIB // len(pattern))}, {"after": pattern * (4 * MIB // len(pattern))}):
        try:
            assert uploaded(form(b"a", **around)) == b"a"
        except InvalidInput as error:
            assert error.field == "body"


@pytest.mark.parametrize("headers", [b"a:b\r\n" * 4000, b"a:" + b"b" * 9000 + b"\r\n", b"a" * 9000 + b":b\r\n"])
def test_the_headers_of_a_part_have_a_limit(headers: bytes) -> None:
    with pytest.raises(InvalidInput):
        uploaded(form(b"a", headers=headers))


def test_the_parts_of_a_form_have_a_limit() -> None:
    with pytest.raises(InvalidInput, match="at most 16 parts"):
        uploaded(form(b"a", parts=(MARK + b"\r\n" + PURPOSE) * 100_000))


def test_the_lines_of_a_file_have_a_limit() -> None:
    assert uploaded(form(b"{}\n" * 100), max_lines=100) == b"{}\n" * 100
    with pytest.raises(TooLarge, match="may have at most 100 lines"):
        uploaded(form(b"\n" * 101), max_lines=100)
