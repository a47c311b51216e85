"""``lengthwise submit`` and ``results`` with tables and text files: nothing of the input is lost on the way."""

import csv
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.integration.client.test_client import url
from tests.integration.client.test_commands import here, run, working

__all__ = ["here", "url", "working"]


@pytest.fixture
def catalog(catalog: Path) -> Path:
    """The model translates English into German and into itself."""
    catalog.write_text(catalog.read_text().replace('["en", "de"]', '["en", "de"], ["en", "en"]'))
    return catalog


def table_of(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.mark.usefixtures("working")
def test_a_text_file_and_its_results_match_line_for_line(here: Path) -> None:
    (here / "in.txt").write_bytes(b"I ate an apple.\n\nWe ate an apple.\n \nThey ate an apple.\n")
    expected = [".elppa na eta I", "", ".elppa na eta eW", "", ".elppa na eta yehT", ""]
    for kind in (["translate", "--from", "en", "--to", "de"], ["generate"]):
        run("submit", "in.txt", "--kind", *kind, "-o", "out.txt", "--force")
        assert [line.strip() for line in (here / "out.txt").read_text().split("\n")] == expected


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize(
    ("content", "n_lines"),
    [
        (b"", 0),
        (b"\n", 1),
        (b"a", 1),
        (b"a\r\n\r\nb", 3),
        (b"\xef\xbb\xbfa\n\n\n", 3),
        (b"a\rb\rc", 3),
        (b"a\r\nb\nc\rd\r", 4),
        ("a\u2028b\u0085c\x0bd\n".encode(), 1),
    ],
)
def test_each_line_of_a_text_file_is_an_item(here: Path, content: bytes, n_lines: int) -> None:
    (here / "in.txt").write_bytes(content)
    run("submit", "in.txt", "--kind", "generate", "-o", "out.txt", code=0 if n_lines else 3)
    assert not n_lines or (here / "out.txt").read_text().count("\n") == n_lines


@pytest.mark.usefixtures("working")
def test_a_text_file_may_have_another_encoding(here: Path) -> None:
    (here / "in.txt").write_bytes("abc\n\nde\n".encode("utf-16"))
    run("submit", "in.txt", "--kind", "generate", "--encoding", "utf-16", "-o", "out.txt")
    assert (here / "out.txt").read_text() == "cba\n\ned\n"
    assert "the file is UTF-16: send UTF-8, or name" in run("submit", "in.txt", "--kind", "generate", code=2).stderr
    assert "must be an encoding" in run("submit", "in.txt", "--kind", "generate", "--encoding", "x", code=2).stderr


CANARY = "CaNaRy"
WRONG_TEXTS = {
    "utf-16": (f"{CANARY}\n".encode("utf-16"), "the file is UTF-16"),
    "utf-16-le": (f"{CANARY}\n".encode("utf-16-le"), "the file is UTF-16"),
    "utf-16-be of Cyrillic": ("Москва\n".encode("utf-16-be"), "the file is UTF-16"),
    "utf-16-le of Chinese": ("我吃了\n".encode("utf-16-le"), "the file is UTF-16"),
    "latin-1": (
        f"{CANARY}\n\nà {CANARY} é\n".encode("latin-1"),
        "line 3 of the file is not UTF-8; the file is Windows-1252",
    ),
    "gb18030": ("我吃了\n".encode("gb18030"), "the file is in another encoding than UTF-8: send UTF-8, or name its"),
    "gzip": (gzip.compress(CANARY.encode()), "the file is gzip: its name must end in .gz"),
    "zstd": (zstandard.compress(CANARY.encode()), "the file is zstd: its name must end in .zst"),
    "Excel": (b"PK\x03\x04" + CANARY.encode(), "the file is a ZIP archive or an Excel workbook: send UTF-8"),
    "cut off": (b"a\nb\xc3", "line 2 of the file is not UTF-8; name its encoding"),
}


@pytest.mark.parametrize(("content", "said"), WRONG_TEXTS.values(), ids=WRONG_TEXTS.keys())
def test_a_text_file_that_is_not_utf_8_is_refused_by_its_name(here: Path, content: bytes, said: str) -> None:
    (here / "in.txt").write_bytes(content)
    stderr = run("submit", "in.txt", "--kind", "generate", code=2).stderr
    assert said in stderr
    assert CANARY not in stderr


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize(
    ("name", "delimiter", "options", "said"),
    [
        ("in.csv", ";", [], "columns separated by ';', UTF-8"),
        ("in.csv", "|", ["--delimiter", "|"], "columns separated by '|', UTF-8"),
        ("in.csv", "\t", ["--delimiter", "tab"], "columns separated by '\\t', UTF-8"),
        ("in.tsv", "\t", [], "columns separated by '\\t', UTF-8"),
        ("in.csv", ";", ["--encoding", "windows-1252"], "columns separated by ';', CP1252"),
    ],
)
def test_a_table_comes_back_with_its_columns(
    here: Path, name: str, delimiter: str, options: list[str], said: str
) -> None:
    rows = [["price", "text", "größe"], ["1,50", "abc", "ü"], ["2;0", "", "x\ny"], ["", "de", ""]]
    with (here / name).open("w", encoding="cp1252" if "--encoding" in options else "utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert said in run("submit", name, "--kind", "generate", *options, "-o", "out.csv").stderr
    found = table_of(here / "out.csv")
    assert [list(found[0])[:3], *([*row.values()][:3] for row in found)] == rows
    assert [row["output.text"] for row in found] == ["cba", "", "ed"]
    run("submit", name, "--kind", "generate", *options, "-o", "out.tsv")
    assert [row["größe"] for row in table_of(here / "out.tsv", "\t")] == ["ü", "x\ny", ""]


@pytest.mark.usefixtures("working")
def test_only_the_results_are_written_if_that_is_asked_for(here: Path) -> None:
    (here / "in.csv").write_text("a,text\nx,abc\n")
    job = run("submit", "in.csv", "--kind", "generate", "--only-results", "-o", "out.csv", "--json").stdout
    assert list(table_of(here / "out.csv")[0])[:3] == ["index", "id", "status"]
    job_id = job.split('"')[3]
    run("results", job_id, "-o", "out.parquet")
    assert pq.read_table(here / "out.parquet").column_names[:3] == ["a", "text", "status"]
    run("results", job_id, "-o", "out.parquet", "--only-results", "--force")
    assert pq.read_table(here / "out.parquet").column_names[:3] == ["index", "id", "status"]
    run("results", job_id, "-o", "out.tsv", "--only-results")
    assert table_of(here / "out.tsv", "\t")[0]["output.text"] == "cba"


@pytest.mark.usefixtures("working")
def test_parquet_comes_back_with_its_types(here: Path) -> None:
    sent = pa.table({"n": pa.array([1, None], pa.int16()), "text": [b"abc", None]})
    pq.write_table(sent, here / "in.parquet")
    run("submit", "in.parquet", "--kind", "generate", "-o", "out.parquet")
    found = pq.read_table(here / "out.parquet")
    assert found.select(["n", "text"]).equals(sent)
    assert found["output.text"].to_pylist() == ["cba", ""]


@pytest.mark.usefixtures("working")
def test_several_columns_are_translated_into_several_languages(here: Path) -> None:
    (here / "in.csv").write_text("title,n,body\nabc,1,de\n")
    columns = ["--text-column", "title", "--text-column", "body"]
    run("submit", "in.csv", "--kind", "translate", "--from", "en", "--to", "de,en", *columns, "-o", "out.csv")
    [row] = table_of(here / "out.csv")
    found = [row[name] for name in ("n", "title.de", "title.en", "body.de", "body.en")]
    assert found == ["1", "cba", "cba", "ed", "ed"]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("in.txt", ["--delimiter", ";"], "only a CSV file has a delimiter"),
        ("in.ndjson", ["--encoding", "utf-16"], "an encoding can be named for CSV and text files only"),
        ("in.txt", ["--to", "de,fr"], "several targets need CSV or Parquet"),
        ("in.txt", ["--column", "title"], "names of columns go with tables"),
        ("in.txt", ["--id-column", "sku"], "names of columns go with tables"),
        ("in.ndjson", ["--metadata-column", "price"], "names of columns go with tables"),
        ("in.ndjson", ["--text-column", "title", "--text-column", "body"], "names of columns go with tables"),
    ],
)
def test_an_option_that_the_format_has_not_is_refused(here: Path, name: str, options: list[str], said: str) -> None:
    (here / name).write_text('"a"\n')
    assert said in run("submit", name, "--kind", "translate", *options, code=2).stderr
