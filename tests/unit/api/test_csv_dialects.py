"""CSV as spreadsheets write it: other separators and encodings, blank cells, empty rows, and errors that help."""

import io
import json
from typing import Any

import pytest
from pydantic import ValidationError

from api.jobs.tables.csv_items import CsvTable
from api.jobs.tables.table_row import TableColumns
from lengthwise.errors import InvalidInput
from lengthwise.settings import Settings


def read(content: bytes, **columns: Any) -> tuple[list[Any], CsvTable]:
    table = CsvTable(io.BytesIO(content), TableColumns(**columns), Settings())
    return [json.loads(item) for item in table.items(lambda _: None)], table


LAMP = {"text": "What a lovely lamp!", "id": "1"}
B, C = {"text": "b", "id": "2"}, {"text": "c", "id": "3"}
FROM_SPREADSHEETS: dict[str, tuple[bytes, list[Any], str]] = {
    "a blank cell": (b"id,text\r\n1,What a lovely lamp!\r\n2,\r\n", [LAMP, {"text": "", "id": "2"}], ","),
    "semicolons": (b"id;text\r\n1;What a lovely lamp!\r\n", [LAMP], ";"),
    "rows of separators at the end": (b"id,text\r\n1,What a lovely lamp!\r\n,\r\n,\r\n", [LAMP], ","),
    "rows of separators in between": (b"id,text\n,\n1,What a lovely lamp!\n,,,\n\n", [LAMP], ","),
    "tabs": (b"id\ttext\n1\tWhat a lovely lamp!\n", [LAMP], "\t"),
    "bars": (b"id|text\n1|What a lovely lamp!", [LAMP], "|"),
    "commas in a name": (b'"id";"text";"a, b"\n1;What a lovely lamp!;x\n', [LAMP], ";"),
    "semicolons in another name": (b'id,text,"a;b;c;d"\n1,What a lovely lamp!,x\n', [LAMP], ","),
    "a separator at each end": (b"id,text,\n1,What a lovely lamp!,\n", [LAMP], ","),
    "a separator at the header's end": (b"id,text,,\n1,What a lovely lamp!\n", [LAMP], ","),
    "a separator at the rows' ends": (b"id;text\n1;What a lovely lamp!;;\n", [LAMP], ";"),
    "one column": (b"text\nWhat a lovely lamp!\n", [{"text": LAMP["text"]}], ","),
    "one column with a blank cell": (b'text\na\n""\nb\n', [{"text": "a"}, {"text": ""}, {"text": "b"}], ","),
    "a row of one empty field": (b'id,text\n""\n1,What a lovely lamp!\n', [LAMP], ","),
    "one column with rows of separators": (b"text\na\n,\n\n,,\n", [{"text": "a"}], ","),
    "blanks in a cell": (b'id,text\n1," "\n', [{"text": " ", "id": "1"}], ","),
    "a quoted newline": (b'id;text\n1;"a\r\nb;c"\n', [{"text": "a\r\nb;c", "id": "1"}], ";"),
    "a quoted header with a newline": (b'"te\nxt";text\na;b\n', [{"text": "b"}], ";"),
    "a byte order mark": (b"\xef\xbb\xbfid;text\n1;What a lovely lamp!\n", [LAMP], ";"),
    "a line that names the separator": (b"sep=;\r\nid;text\r\n1;What a lovely lamp!\r\n", [LAMP], ";"),
    "a line that names the tab": (b"sep=\t\r\nid\ttext\r\n1\tWhat a lovely lamp!\r\n", [LAMP], "\t"),
    "a line that names another separator": (b"SEP=^\nid^text\n1^What a lovely lamp!\n", [LAMP], "^"),
    "a mark and a quoted separator": (b'\xef\xbb\xbf"sep=,"\nid,text\n1,What a lovely lamp!\n', [LAMP], ","),
    "a separator that was saved again": (b"sep=;;\nid;text\n1;What a lovely lamp!\n", [LAMP], ";"),
    "carriage returns": (b'id,text\r1,What a lovely lamp!\r2,"a\rb"\r', [LAMP, {"text": "a\rb", "id": "2"}], ","),
    "ends of lines of all kinds": (b"id,text\r\n1,What a lovely lamp!\n2,b\r3,c", [LAMP, B, C], ","),
    "no newline at the end": (b"id,text\n1,What a lovely lamp!", [LAMP], ","),
    "a blank id": (b"id,text\n,What a lovely lamp!\n", [{"text": LAMP["text"]}], ","),
}


@pytest.mark.parametrize(("content", "items", "delimiter"), FROM_SPREADSHEETS.values(), ids=FROM_SPREADSHEETS.keys())
def test_what_a_spreadsheet_writes_is_read(content: bytes, items: list[Any], delimiter: str) -> None:
    found, table = read(content)
    assert (found, table.source.delimiter, table.source.encoding) == (items, delimiter, "utf-8")


TEXTS = {
    "utf-16": "Grüße, 我吃 😀", "utf-16-le": "Grüße", "utf-16-be": "Grüße", "utf-32": "Grüße 😀", "utf-8-sig": "Grüße",
    "windows-1252": "Grüße – 5 €", "latin-1": "Grüße", "iso-8859-15": "5 €", "mac-roman": "Grüße", "UTF8": "Grüße",
    "gb18030": "我吃了一个苹果", "big5": "我吃", "shift_jis": "りんごを食べた", "iso2022_jp": "りんご",
    "euc_kr": "사과", "koi8-r": "яблоко", "cp1251": "яблоко", "cp037": "an apple",
}  # fmt: skip


@pytest.mark.parametrize("encoding", TEXTS)
def test_a_table_in_any_encoding_is_read_exactly(encoding: str) -> None:
    text = TEXTS[encoding]
    rows = "".join(f"{n};{text}\r\n" for n in range(3))
    found, table = read(f'id;text\r\n{rows}9;"{text}\r\nb"\r\n'.encode(encoding), encoding=encoding)
    assert found == [*({"text": text, "id": str(n)} for n in range(3)), {"text": f"{text}\r\nb", "id": "9"}]
    assert table.source.delimiter == ";"


def test_a_table_over_many_blocks_is_read_exactly_in_any_encoding() -> None:
    texts = ["é我" * (n % 50) + str(n) for n in range(3000)]
    content = "text;a\n" + "".join(f"{text};x\n" for text in texts)
    for encoding in ("utf-8", "utf-16", "gb18030"):
        assert [item["text"] for item in read(content.encode(encoding), encoding=encoding)[0]] == texts


WRONG: dict[str, tuple[bytes, dict[str, str], str, str]] = {
    "utf-16 as utf-8": ("id,text\n1,a\n".encode("utf-16"), {}, "row 1", "this is UTF-16"),
    "utf-16 without a mark": ("id,text\n1,a\n".encode("utf-16-le"), {}, "row 1", "this is UTF-16"),
    "no utf-8": ("id,text\n1,a\n2,Größe CaNaRy é à\n".encode("latin-1"), {}, "row 3", "Windows-1252 or Latin-1"),
    "utf-8 as ascii": ("id,text\n1,Grüße CaNaRy\n".encode(), {"encoding": "ascii"}, "row 2", "not ASCII"),
    "no utf-16": (b"id,text\n1,a\n", {"encoding": "utf-16"}, "row 1", "is not UTF-16: name the table's encoding"),
    "a wrong row below the separator's": (b"sep=;\nid;text\n1;a\n2;b;c\n", {}, "row 4", "more or fewer fields"),
    "half a character of utf-8": (b"id,text\n1,\xc3", {}, "row 2", "is not UTF-8: name the table's encoding"),
    "no shift_jis": (b"id,text\n1,a\n2,\x80\xff\n", {"encoding": "shift_jis"}, "row 3", "not SHIFT_JIS"),
    "half a character": ("id,text\n1,a\n".encode("utf-16-le") + b"\n", {"encoding": "utf-16-le"}, "row 3", "UTF-16-LE"),
    "a missing column": (b"id,title,body\n1,a,b\n", {}, "text_column", "its columns: 'id', 'title', 'body'"),
    "a missing column of semicolons": (b"id;title\n1;a\n", {}, "text_column", "its columns: 'id', 'title'"),
    "a column twice": (b"text,text\n1,a\n", {}, "text_column", "twice; its columns: 'text', 'text'"),
    "another separator": (b"id;text\n1;a\n", {"delimiter": ","}, "text_column", "its columns: 'id;text'"),
    "a name with U+0000": (b"id,text,a\0b\n", {}, "row 1", "U+0000"),
    "a long row": (b"id,text\n1,a,\n2,b,,c\n", {}, "row 3", "more or fewer fields"),
    "a short row": (b"id,text,more\n1,a\n", {}, "row 2", "more or fewer fields"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "columns", "field", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_read_is_refused_by_name(content: bytes, columns: dict[str, str], field: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(content, **columns)
    assert refused.value.field == field
    assert said in str(refused.value)
    assert "CaNaRy" not in str(refused.value)


def test_many_and_long_names_of_columns_are_shortened() -> None:
    with pytest.raises(InvalidInput) as refused:
        read(b",".join([b"x" * 500, *(b"c%d" % n for n in range(500))]) + b"\n")
    assert "'c18' and 481 more" in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("given", ["", ";;", '"', "\n", "\r", "\0", "\ufeff", "tabs"])
def test_a_separator_is_one_character(given: str) -> None:
    with pytest.raises(ValidationError):
        TableColumns(delimiter=given)


@pytest.mark.parametrize("given", ["tab", "\\t", "\t"])
def test_a_tab_has_a_name(given: str) -> None:
    assert TableColumns(delimiter=given).delimiter == "\t"


@pytest.mark.parametrize("given", ["", "nonsense", "base64", "zlib", "rot13", "idna", "punycode", "unicode_escape",
                                   "undefined", "utf-7", "é", "a\0", "../x", "x" * 41])  # fmt: skip
def test_an_encoding_is_one_of_texts(given: str) -> None:
    with pytest.raises(ValidationError):
        TableColumns(encoding=given)


@pytest.mark.parametrize("more", [{"text_column": "a", "text_columns": ["b"]}, {"text_columns": ["a", "a"]},
                                  {"targets": ["de", "de"]}])  # fmt: skip
def test_columns_and_targets_are_named_once(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TableColumns(**more)
