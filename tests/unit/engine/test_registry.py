"""Engines are found by the name that a model gives, and refused when they are loaded, not when they run."""

import pytest

from lengthwise import entry_points
from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec
from worker.engine import registry


class OutdatedEngine:
    """An engine of the protocol before batches were stepped."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    @classmethod
    def load(cls, spec: ModelSpec) -> "OutdatedEngine":
        return cls(spec)

    def generate(self) -> None:
        """What the worker no longer calls."""


def test_an_engine_that_starts_no_batches_is_refused_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec.from_table("m", {"path": "m", "engine": "old", "generate": {}})
    monkeypatch.setattr(entry_points, "load", lambda *_: OutdatedEngine)
    with pytest.raises(ConfigurationError, match="'old' has no method start: it was written for another version"):
        registry.load(spec)


def test_an_unknown_engine_is_refused_with_the_names_that_there_are() -> None:
    spec = ModelSpec.from_table("m", {"path": "m", "engine": "steam", "generate": {}})
    with pytest.raises(ConfigurationError, match=r"no engine 'steam'; known engines: .*torch"):
        registry.load(spec)
