"""The names of what is not UTF-8."""

import bz2
import gzip
import io
import lzma
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lengthwise import encoding

WESTERN = '{"text": "Crème brûlée à la carte, déjà vu"}\n{"text": "“Don’t” – it’s £5…"}\n'
ENGLISH = '{"text": "What a lovely lamp!"}\n'
CHINESE = "标题,文本\r\n1,我吃了一个苹果　今天天气很好。\r\n"
JAPANESE = "題名,本文\n1,私はりんごを食べました。\n"
KOREAN = "제목,본문\n1,나는 사과를 먹었다.\n"
RUSSIAN = "Привет, мир, я съел яблоко\n"
OTHERS = ("Καλημέρα κόσμε\n", "مرحبا بالعالم\n", "नमस्ते, दुनिया\n", "שלום עולם\n", "สวัสดี ชาวโลก\n")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), file)
    return file.getvalue()


WIDE = [
    (text.encode(name), name[:6].upper())
    for text in (WESTERN, ENGLISH, CHINESE, JAPANESE, KOREAN, RUSSIAN, *OTHERS)
    for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
]
FORMATS = [
    (gzip.compress(ENGLISH.encode(), mtime=0), "gzip"),
    (zstandard.compress(ENGLISH.encode()), "zstd"),
    (bz2.compress(ENGLISH.encode()), "bzip2"),
    (lzma.compress(ENGLISH.encode()), "xz"),
    (zipped(), "a ZIP archive or an Excel workbook"),
    (parquet(), "Parquet"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "an Excel workbook or another Office document"),
]
OTHER = "in another encoding than UTF-8"
LEGACY = [
    (WESTERN.encode("cp1252"), "Windows-1252 or Latin-1"),
    ("Müller isst Äpfel".encode("latin-1"), "Windows-1252 or Latin-1"),
    ("¿Qué año?".encode("latin-1"), "Windows-1252 or Latin-1"),
    (b"\xff", "Windows-1252 or Latin-1"),
    (CHINESE.encode("gb18030"), OTHER),
    ("標題,文本\n1,我吃了一個蘋果，今天天氣很好。\n".encode("big5"), OTHER),
    (JAPANESE.encode("shift_jis"), OTHER),
    (JAPANESE.encode("euc-jp"), OTHER),
    (KOREAN.encode("euc-kr"), OTHER),
    (RUSSIAN.encode("cp1251"), OTHER),
    (RUSSIAN.encode("koi8-r"), OTHER),
    (b'"\xed\xa0\x80"', OTHER),
]


@pytest.mark.parametrize(("data", "name"), [*WIDE, *FORMATS, *LEGACY])
def test_what_is_not_utf_8_has_a_name(data: bytes, name: str) -> None:
    assert encoding.name_of(data) == name


@pytest.mark.parametrize(("data", "name"), [*WIDE, *FORMATS])
def test_the_start_is_enough(data: bytes, name: str) -> None:
    assert encoding.signature(data) == encoding.signature(data[:47]) == name


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), cut=st.integers(0, 3))
def test_utf_8_is_never_taken_for_something_else(text: str, cut: int) -> None:
    text = f'{{"text": "{text}"}}'
    data = text.encode()
    assert encoding.name_of(data[: len(data) - cut]) is None
    assert encoding.name_of(text.encode("utf-8-sig")) is None


@given(data=st.binary())
def test_whatever_is_not_utf_8_has_a_name(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        assert encoding.name_of(data) is not None or "unexpected end" in error.reason


def test_one_wrong_byte_is_found_behind_a_megabyte() -> None:
    assert encoding.name_of(ENGLISH.encode() * 40_000 + b'{"text": "caf\xe9"}') == "Windows-1252 or Latin-1"


@pytest.mark.parametrize("data", [b"", b"{}", b'{"a": "\0"}', "我".encode()[:2], bytes(4)])
def test_what_may_be_utf_8_has_no_name(data: bytes) -> None:
    assert encoding.name_of(data) is None
