"""``lengthwise model add`` to its end: it succeeds after a cut, and what fails late leaves nothing behind either."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from huggingface_hub import constants

from lengthwise.cli.main import main
from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import Catalog
from tests.engine.importing_weights.published import changed
from tests.published.fetching.test_fetched_files import files_of_at_most
from tests.published.loopback.hub import Hub
from tests.published.small import WEIGHTS, Refused

NAME = "sentence-transformers/all-MiniLM-L6-v2"
OPTIONS = ("--as", "m", "--quantize", "none")


@pytest.fixture
def folder(published: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the model, which may be changed."""
    return shutil.copytree(published(NAME), tmp_path / "copy")


def add(origin: str, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the command, which must succeed."""
    monkeypatch.setattr(sys, "argv", ["lengthwise", "model", "add", origin, *OPTIONS])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    [(name, spec)] = Catalog.read(catalog).models.items()
    assert (name, spec.folder) == ("m", catalog.parent / "models" / "m")


def test_a_model_whose_download_was_cut_is_added_all_the_same(
    model_hub: Hub, published: Callable[[str], Path], catalog: Path, without_pauses: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    model_hub.serve(NAME, published(NAME))
    model_hub.cut(WEIGHTS, after_bytes=10_000)
    add(NAME, catalog, monkeypatch)
    assert model_hub.ranges == ["bytes=8192-"]


def test_a_disk_that_fills_up_while_the_model_is_written(folder: Path, refused: Refused) -> None:
    with files_of_at_most((folder / WEIGHTS).stat().st_size // 2):
        line = refused(str(folder), *OPTIONS)
    assert "cannot be " in line and "free some" in line


def test_a_table_that_cannot_be_written(
    folder: Path, catalog: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> NoReturn:
        raise ConfigurationError(f"{catalog} cannot be written (PermissionError)")

    with monkeypatch.context() as patch:
        patch.setattr("worker.prepare.catalog_table.add", fails)
        assert refused(str(folder), *OPTIONS) == f"{catalog} cannot be written (PermissionError)"
    add(str(folder), catalog, monkeypatch)


@pytest.mark.parametrize("quantize", ["int8", "none"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers(quantize: str, value: float, folder: Path, refused: Refused) -> None:
    def spoil(state: dict[str, torch.Tensor]) -> None:
        name = next(name for name in state if name.endswith("word_embeddings.weight"))
        state[name][5, 3] = value

    changed(folder, spoil)
    line = refused(str(folder), "--as", "m", "--quantize", quantize)
    assert "word_embeddings.weight has values that are NaN or infinite" in line


def test_a_link_of_git_in_place_of_a_file(folder: Path, refused: Refused) -> None:
    (folder / "tokenizer.json").write_text("../../other/tokenizer.json")
    assert "tokenizer" in refused(str(folder), *OPTIONS)
