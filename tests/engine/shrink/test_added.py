"""``lengthwise model add`` of a folder: what a dry run leaves, and labels that only the operator can tell."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lengthwise.cli import main as cli
from lengthwise.errors import ConfigurationError, LengthwiseError, ModelUnusable
from tests.engine.conftest import Written


def add(*arguments: object) -> str:
    """Runs the command and returns what it printed. Raises the error that would be its one line."""
    ran = CliRunner().invoke(cli.app, ["model", "add", *map(str, arguments)])
    if ran.exception is not None:
        raise ran.exception
    return ran.stdout


def table(text: str) -> Any:
    [(_, found)] = tomllib.loads(text)["models"].items()
    return found


@pytest.mark.parametrize("folder", [None, "made/for/it"])
def test_a_dry_run_prints_the_table_and_leaves_nothing(
    folder: str | None, written: Written, catalog: Path, tmp_path: Path
) -> None:
    options = ("--folder", tmp_path / folder) if folder else ()
    found = table(add(written("llama")[1], "--as", "own", "--dry-run", *options))
    assert found["path"] == f"{folder or 'models'}/own"
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_stay(written: Written, catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    add(written("llama")[1], "--as", "own", "--dry-run")
    assert list(tmp_path.rglob("*")) == [tmp_path / "models"]


def test_a_folder_that_cannot_be_created_is_named(written: Written, catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(ConfigurationError, match=r"models/own cannot be read or written \(Not a directory\): correct "):
        add(written("llama")[1], "--as", "own")
    assert (tmp_path / "models").is_file() and not catalog.exists()


@pytest.mark.parametrize(("labels", "code"), [([], "harmless_missing"), (["LABEL_9"], "harmless_unknown")])
def test_labels_that_say_nothing_are_asked_for(
    labels: list[str], code: str, written: Written, catalog: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelUnusable) as refused:
        add(written("bert")[1], "--as", "own", *(f"--harmless={each}" for each in labels))
    assert (refused.value.code, refused.value.remedy) == (code, "name each of them with --harmless LABEL")
    assert list(tmp_path.iterdir()) == []


def test_the_labels_that_were_named_are_in_the_table(written: Written, catalog: Path) -> None:
    printed = add(written("bert")[1], "--as", "own", "--harmless", "LABEL_0", "--harmless", "LABEL_2")
    assert "own serves moderate" in printed
    assert table(catalog.read_text())["moderate"] == {"harmless": ["LABEL_0", "LABEL_2"]}


def test_labels_of_a_model_that_has_none_or_has_a_table_are_refused(
    written: Written, catalog: Path, tmp_path: Path
) -> None:
    with pytest.raises(LengthwiseError, match="--harmless: the model is no classifier"):
        add(written("llama")[1], "--as", "own", "--harmless", "LABEL_0")
    folder = written("bert")[1]
    catalog.write_text(f'[models.known]\npath = "{folder}"\n[models.known.moderate]\nharmless = ["LABEL_1"]\n')
    with pytest.raises(LengthwiseError, match=r"--harmless: models\.toml has a table for this model"):
        add(folder, "--as", "own", "--harmless", "LABEL_0")
    add(folder, "--as", "own")
    assert tomllib.loads(catalog.read_text())["models"]["own"]["moderate"] == {"harmless": ["LABEL_1"]}
