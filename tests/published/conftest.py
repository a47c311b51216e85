"""Fixtures for models that are added from the loopback hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from lengthwise import settings
from tests.published.hub import Hub


@pytest.fixture
def catalog(model_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The ``models.toml`` of this process, which does not exist yet. The hub is the loopback one, its cache empty."""
    point_to(model_hub.url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("LENGTHWISE_MODELS", str(tmp_path / "models.toml"))
    settings.get.cache_clear()
    yield tmp_path / "models.toml"
    settings.get.cache_clear()


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this process ask another hub, as ``HF_ENDPOINT`` does for a new one."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", url)
