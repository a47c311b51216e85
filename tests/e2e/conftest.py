"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder for the data of ``lengthwise up``, which another user's PostgreSQL can reach."""
    with servers.reachable_folder() as folder:
        yield folder / "data"
