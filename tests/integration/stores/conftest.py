"""Makes small jobs large."""

import pytest

from lengthwise.settings import Settings
from tests.ledger import (
    knobs,
)


@pytest.fixture
def large_from_ten(monkeypatch: pytest.MonkeyPatch, installed: Settings) -> None:
    """A job of ten items is large."""
    knobs(monkeypatch, large_job_items=10)
