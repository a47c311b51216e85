"""The figures in a folder's ``report.json``: read from anybody's, written into our own alone."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lengthwise.models import manifest
from lengthwise.models.listing import load_report
from lengthwise.models.listing.load_report import LoadFigures

FIGURES = LoadFigures(12_345_678, 42.5, 1234.0, "int8", "cpu", 2)
REPORT: dict[str, Any] = {
    "source": "demo",
    "revision": "1",
    "quantize": "int8",
    "sparsity": None,
    "layers": {"encoder": [0, 2]},
    "before": {"weights_bytes": 8, "runs_as": None, "items_per_second": None},
    "after": {"weights_bytes": 2, "runs_as": None, "items_per_second": None},
    "agreement": None,
}


def prepared(folder: Path, report: Any = REPORT) -> Path:
    """A folder as ``lengthwise model prepare`` writes it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    manifest.write(folder, ["config.json"])
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def test_what_was_written_is_read_and_the_rest_of_the_report_stays(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    assert load_report.read(folder) is None
    assert load_report.renew(folder, FIGURES)
    assert load_report.read(folder) == FIGURES
    assert load_report.renew(folder, replace(FIGURES, threads=1, device="cuda:0"))
    found = json.loads((folder / "report.json").read_bytes())
    assert found == REPORT | {"load": asdict(FIGURES) | {"threads": 1, "device": "cuda:0"}}
    assert {path.name for path in folder.iterdir()} == {"config.json", "manifest.json", "report.json"}


def test_figures_say_where_they_were_measured() -> None:
    assert FIGURES.line == "1234 tokens/s in a short trial, 42.5 items/s; 12.3 MB in memory (int8, cpu, 2 threads)"
    assert replace(FIGURES, threads=1).place == "int8, cpu, 1 thread"


@pytest.mark.parametrize(
    "change",
    [
        {"memory_bytes": -1},
        {"memory_bytes": 10**40},
        {"memory_bytes": "much"},
        {"memory_bytes": None},
        {"items_per_second": float("nan")},
        {"items_per_second": float("inf")},
        {"tokens_per_second": -0.5},
        {"tokens_per_second": [1]},
        {"precision": "fp32\x1b[2J"},
        {"precision": "int4"},
        {"device": "cpu\x1b[2J"},
        {"device": "[red]cpu[/red]"},
        {"device": "cpu\n"},
        {"device": ""},
        {"device": "c" * 61},
        {"threads": 0},
        {"threads": 10**9},
    ],
)
def test_figures_of_another_form_count_as_not_measured(change: dict[str, Any], tmp_path: Path) -> None:
    folder = prepared(tmp_path, REPORT | {"load": asdict(FIGURES)})
    assert load_report.read(folder) == FIGURES
    assert load_report.read(prepared(tmp_path, REPORT | {"load": asdict(FIGURES) | change})) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"load": []}', '{"load": 1}', '{"load": {}, "load": {}}', "[" * 100_000, " " * (2 << 20)],
    ids=lambda content: content[:20],
)
def test_a_report_of_another_form_counts_as_not_measured(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(content)
    assert load_report.read(tmp_path) is None
    assert not load_report.renew(tmp_path, FIGURES)
    assert (tmp_path / "report.json").read_text() == content


@pytest.mark.parametrize("missing", ["source", "revision", "quantize", "layers", "before", "after"])
def test_nothing_is_written_into_a_report_that_is_not_ours(missing: str, tmp_path: Path) -> None:
    folder = prepared(tmp_path, {key: value for key, value in REPORT.items() if key != missing})
    assert not load_report.renew(folder, FIGURES)
    assert load_report.read(folder) is None


def test_nothing_is_written_into_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "model")
    (folder / "report.json").rename(tmp_path / "blob")
    assert not load_report.renew(folder, FIGURES), "it has no report"
    (folder / "report.json").symlink_to(tmp_path / "blob")
    assert not load_report.renew(folder, FIGURES), "its files are links into the hub's cache"
    assert json.loads((tmp_path / "blob").read_bytes()) == REPORT
    folder = prepared(tmp_path / "other")
    (folder / "manifest.json").unlink()
    assert not load_report.renew(folder, FIGURES), "its revision is the sum of its files"
    manifest.write(folder, ["config.json", "report.json"])
    assert not load_report.renew(folder, FIGURES), "its manifest lists the report"
    manifest.verify(folder)


def test_a_new_manifest_leaves_the_report_out_so_that_it_can_be_renewed(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    assert manifest.write_all(folder) == 1
    assert load_report.renew(folder, FIGURES)
    manifest.verify(folder)
