"""``models.toml`` while it is edited: the last valid version is in force."""

import logging
import shutil
from pathlib import Path

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog_file import CatalogFile
from tests.fakes import CATALOG, write_catalog, write_config, write_echo_model

ALWAYS = 1e-9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_catalog(tmp_path)


def folder_of(file: CatalogFile) -> str:
    return file.catalog().models["echo"].folder.name


def at_other(path: Path, name: str = "other") -> str:
    """The text of a catalog with the model in another folder."""
    return CATALOG.replace('path = "echo"', f'path = "{name}"')


def test_an_edit_is_loaded_and_unedited_models_stay_the_same_objects(path: Path) -> None:
    file = CatalogFile(path, ALWAYS)
    assert file.catalog() is file.catalog()
    write_echo_model(path.parent / "other")
    path.write_text(at_other(path))
    assert folder_of(file) == "other"
    assert file.is_current


def test_a_model_that_could_never_be_served_may_be_replaced_by_any_other(path: Path) -> None:
    write_config(path.parent / "echo", "BertForTokenClassification")
    path.write_text(CATALOG.replace('engine = "echo"', ""))
    file = CatalogFile(path, ALWAYS)
    write_echo_model(path.parent / "other")
    (path.parent / "other" / "tokenizer.json").write_text('{"another": 1}')
    path.write_text(at_other(path))
    assert folder_of(file) == "other"
    assert file.is_current


def test_the_file_is_checked_only_as_often_as_configured(path: Path) -> None:
    file = CatalogFile(path, 600)
    write_echo_model(path.parent / "other")
    path.write_text(at_other(path))
    assert folder_of(file) == "echo"
    assert file.look()
    assert folder_of(file) == "other"


@pytest.mark.parametrize("text", ["[models.echo\n", "", CATALOG.replace("batch_rows = 64", "batch_rows = 0")])
def test_an_invalid_edit_changes_nothing_and_is_logged_once(
    path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = CatalogFile(path, ALWAYS)
    before = file.catalog()
    path.write_text(text)
    with caplog.at_level(logging.ERROR):
        assert [file.catalog() for _ in range(3)] == [before] * 3
    assert len(caplog.messages) == 1
    assert str(path) in caplog.messages[0]
    assert not file.is_current
    path.write_text(CATALOG)
    assert file.catalog() is not before
    assert file.is_current


def test_a_deleted_file_changes_nothing(path: Path) -> None:
    file = CatalogFile(path, ALWAYS)
    path.unlink()
    assert folder_of(file) == "echo"
    assert not file.is_current
    assert not file.look()


def test_a_new_revision_takes_effect_once_its_files_exist(path: Path) -> None:
    file = CatalogFile(path, ALWAYS)
    assert folder_of(file) == "echo"
    path.write_text(at_other(path))
    assert folder_of(file) == "echo"
    write_echo_model(path.parent / "other")
    assert folder_of(file) == "other"


def test_a_revision_with_another_tokenizer_is_refused(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = CatalogFile(path, ALWAYS)
    tokenizer = write_echo_model(path.parent / "other") / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("一", "二"))
    path.write_text(at_other(path))
    assert folder_of(file) == "echo"
    assert "rename it" in caplog.text
    path.write_text(at_other(path).replace("models.echo", "models.second"))
    assert list(file.catalog().models) == ["second"]


@pytest.mark.parametrize("gone", ["echo", "other"])
def test_a_revision_whose_tokenizer_cannot_be_compared_is_refused(
    path: Path, gone: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = CatalogFile(path, ALWAYS)
    assert folder_of(file) == "echo"
    write_echo_model(path.parent / "other")
    (path.parent / gone / "tokenizer.json").unlink()
    path.write_text(at_other(path))
    assert folder_of(file) == "echo"
    assert "cannot be compared" in caplog.text


def test_a_model_that_was_never_on_this_machine_may_change_its_path(path: Path) -> None:
    shutil.rmtree(path.parent / "echo")
    file = CatalogFile(path, ALWAYS)
    path.write_text(at_other(path))
    assert file.catalog().models["echo"].path == path.parent / "other"


def test_a_hubs_branch_that_moved_is_another_folder_once_the_file_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    stored = tmp_path / "hub" / "models--a--b"
    commits = ["1" * 40, "2" * 40]
    for commit in commits:
        write_echo_model(stored / "snapshots" / commit)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(commits[0])
    path = tmp_path / "models.toml"
    path.write_text(CATALOG.replace('path = "echo"', 'hub = "a/b"\nrevision = "main"'))
    file = CatalogFile(path, ALWAYS)
    assert folder_of(file) == commits[0]
    (stored / "refs" / "main").write_text(commits[1])
    assert folder_of(file) == commits[0]
    path.touch()
    assert folder_of(file) == commits[1]


def test_an_invalid_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        CatalogFile(tmp_path / "none.toml", ALWAYS)
