"""What tests of ``lengthwise model`` share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lengthwise import settings


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The ``models.toml`` of the installation, which does not exist yet."""
    path = tmp_path / "models.toml"
    monkeypatch.setenv("LENGTHWISE_MODELS", str(path))
    settings.get.cache_clear()
    yield path
    settings.get.cache_clear()
