"""Fixtures of the end-to-end tests, which run when no other test is running (the marker ``alone``)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test in this folder ``alone``."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("alone")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder for ``lengthwise up``. PostgreSQL can reach it even if it runs as another user."""
    with servers.reachable_folder() as folder:
        yield folder / "data"
