"""``lengthwise model list``: the models of ``models.toml`` as this machine has them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from lengthwise import settings
from lengthwise.cli import extras, main, models
from tests.fakes import write_catalog, write_config
from tests.unit.models.test_load_report import FIGURES

#: Runs ``lengthwise model list`` and returns what it printed.
List = Callable[..., str]


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = write_catalog(tmp_path)
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    settings.get.cache_clear()
    yield path
    settings.get.cache_clear()


@pytest.fixture
def listed(catalog: Path) -> List:
    def invoke(*options: str) -> str:
        ran = CliRunner().invoke(main.app, ["model", "list", *options], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    return invoke


def row(printed: str, name: str) -> str:
    """The one line that begins so, without the blanks that align its columns."""
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    [found] = [line for line in lines if line.startswith(name)]
    return found


def add(catalog: Path, table: str) -> None:
    catalog.write_text(f"{catalog.read_text()}\n{table}\n")


def test_a_model_is_a_row_with_what_is_known_of_it(listed: List, catalog: Path) -> None:
    folder = catalog.parent / "echo"
    found = row(listed(), "echo")
    assert found.startswith("echo usable translate (2 pairs), generate echo, int8 not measured ")
    assert found.endswith(" not named")
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    (folder / "model.safetensors").write_bytes(bytes(2_500_000))
    (folder / "report.json").write_text(json.dumps({"load": asdict(FIGURES)}))
    catalog.write_text(catalog.read_text().replace('engine = "echo"', 'engine = "echo"\nrevision = "2026-11"', 1))
    found = row(listed(), "echo")
    assert found == (
        "echo usable translate (2 pairs), generate echo, int8 2.5 MB 12.3 MB 1234 42.5 int8, cpu, 2 threads "
        "2026-11 cc-by-4.0"
    )


def test_a_model_that_cannot_be_served_has_its_code_in_the_row_and_the_remedy_below(
    listed: List, catalog: Path
) -> None:
    add(catalog, '[models.gone]\npath = "gone"\n[models.gone.generate]')
    add(catalog, '[models.far]\nhub = "nobody/nothing"\nrevision = "v1"\n[models.far.chat]')
    pickled = write_config(catalog.parent / "pickled", "LlamaForCausalLM")
    (pickled / "pytorch_model.bin").touch()
    add(catalog, '[models.old]\npath = "pickled"\n[models.old.generate]')
    printed = listed()
    assert row(printed, "echo ").startswith("echo usable")
    assert row(printed, "gone unusable").startswith("gone unusable: folder_missing generate torch, int8 not measured")
    assert "far unusable: not_fetched chat" in row(printed, "far unusable")
    assert "hf download nobody/nothing --revision v1" in printed
    assert "old unusable: weights_pickled generate" in row(printed, "old unusable")
    assert "To mend it: lengthwise model add FOLDER, then remove [models.old] from models.toml" in printed


def test_names_are_printed_as_they_are(listed: List, catalog: Path) -> None:
    name = "[red]x[/red]"
    add(catalog, f'[models."{name}"]\npath = "echo"\nengine = "echo"\nrevision = "[b]1"\n[models."{name}".generate]')
    assert "[b]1" in row(listed(), name)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_where_the_table_is_too_wide_each_model_has_lines_of_its_own(
    width: int, catalog: Path, listed: List, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = "1c93e62437d6a0e3046a3ebcebc8da2d5182b131-int8"
    add(catalog, f'[models.other]\npath = "echo"\nengine = "echo"\nrevision = "{revision}"\n[models.other.generate]')
    assert f"other usable generate echo, int8 not measured {revision}" in row(listed(), "other")
    monkeypatch.setattr(models, "console", lambda: Console(width=width))
    lines = [line.rstrip() for line in listed().splitlines()]
    assert all(len(line) <= width for line in lines)
    ends = lines.index(" model        other")
    assert lines[ends + 1] == " state        usable"
    assert revision in "".join(line[14:] for line in lines[ends:])
    assert not any(line.startswith(" memory") for line in lines), "what is not known has no line"


def test_a_row_that_is_too_wide_for_a_file_has_lines_of_its_own(listed: List, catalog: Path) -> None:
    name = "m" * 180
    add(catalog, f'[models.{name}]\npath = "echo"\nengine = "echo"\n[models.{name}.generate]')
    assert row(listed(), "model m") == f"model {name}"


def test_programs_get_the_same_as_json(listed: List, catalog: Path) -> None:
    add(catalog, '[models.gone]\npath = "gone"\n[models.gone.generate]')
    found: list[dict[str, Any]] = json.loads(listed("--json"))
    first, second = found
    assert (first["name"], first["kinds"], first["unusable"]) == ("echo", ["translate", "generate"], None)
    assert first["pairs"] == {"translate": [["zh", "en"], ["en", "de"]]}
    assert (first["load"], first["weights_bytes"], first["licence"]) == (None, None, None)
    assert second["unusable"]["code"] == "folder_missing"
    assert second["unusable"].keys() == {"code", "reason", "remedy"}
    assert (second["revision"], second["folder"]) == (None, None)


def test_where_no_worker_can_run_weights_and_engines_are_not_missed(
    listed: List, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(catalog.parent / "bare", "LlamaForCausalLM")
    add(catalog, '[models.bare]\npath = "bare"\n[models.bare.generate]')
    assert "bare unusable: weights_missing" in row(listed(), "bare unusable")
    monkeypatch.setattr(extras, "is_installed", lambda extra: extra != "worker")
    assert row(listed(), "bare").startswith("bare usable generate")


def test_a_file_that_is_not_valid_is_one_line(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog.write_text("[models]\n")
    with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["lengthwise", "model", "list"])
        main.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"lengthwise: {catalog} names no model: add a [models.NAME] table\n"
