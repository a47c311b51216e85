from pathlib import Path

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.bin").write_bytes(b"one")
    (tmp_path / "b.bin").write_bytes(b"two")
    manifest.write(tmp_path, ["a.bin", "b.bin"])
    return tmp_path


def test_files_as_they_were_written_pass(folder: Path) -> None:
    manifest.verify(folder)
    manifest.verify(folder, ["a.bin"])


def test_a_changed_file_is_named_even_where_its_size_is_the_same(folder: Path) -> None:
    (folder / "b.bin").write_bytes(b"owt")
    manifest.verify(folder, ["a.bin"])
    with pytest.raises(ConfigurationError, match=r"b\.bin does not match"):
        manifest.verify(folder)


def test_a_cut_file_is_named(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"o")
    with pytest.raises(ConfigurationError, match=r"a\.bin is not of the size"):
        manifest.verify(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "a.bin").unlink()
    with pytest.raises(ConfigurationError, match=r"a\.bin cannot be read"):
        manifest.verify(folder)


def test_a_file_outside_the_folder_is_not_read(folder: Path) -> None:
    (folder / manifest.MANIFEST).write_text('{"files": {"../secret": {"sha256": "", "bytes": 0}}}')
    with pytest.raises(ConfigurationError, match="outside"):
        manifest.verify(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"files": 3}', '{"files": {"a.bin": 3}}'])
def test_a_manifest_that_is_not_one_is_refused(folder: Path, content: str) -> None:
    (folder / manifest.MANIFEST).write_text(content)
    with pytest.raises(ConfigurationError, match=r"manifest\.json|a\.bin"):
        manifest.verify(folder)


def test_a_file_that_is_written_to_while_it_is_read_is_refused(folder: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"a\.bin was written to"),
        manifest.opened(folder, ["a.bin", "b.bin"]),
        (folder / "a.bin").open("r+b") as file,
    ):
        file.write(b"x")


def test_a_file_that_is_replaced_after_its_check_is_not_the_one_that_is_read(folder: Path) -> None:
    with pytest.raises(ConfigurationError), manifest.opened(folder, ["a.bin"]) as (path,):
        (folder / "new").write_bytes(b"evil")
        (folder / "new").replace(folder / "a.bin")
        assert path.read_bytes() == b"one"


def test_the_manifest_of_a_whole_folder_lists_all_but_hidden_files(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("x")
    assert manifest.write_all(folder) == 3
    manifest.verify(folder, ["a.bin", "b.bin", "1_Pooling/config.json"])
    assert ".git" not in (folder / manifest.MANIFEST).read_text()
