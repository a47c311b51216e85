"""Which pool a busy worker claims from."""

import pytest

from lengthwise import settings
from lengthwise.kinds import pool as pools
from lengthwise.kinds.kind import Decoding
from worker.generation.pool_rotation import PoolRotation

BULK, OTHER = (pools.name(model, Decoding(max_new_tokens=4)) for model in ("bulk", "other"))


class FakeModels:
    def __init__(self, *loaded: str) -> None:
        self._loaded = loaded

    def is_loaded(self, name: str) -> bool:
        return name in self._loaded


@pytest.mark.parametrize(
    ("loaded", "priority", "seconds", "expected"),
    [
        (("bulk",), 0, 0.5, BULK),
        (("bulk",), 0, 1.5, OTHER),
        (("bulk",), 1, 1.5, BULK),
        (("bulk", "other"), 0, 0.5, OTHER),
        (("bulk", "other"), 1, 0.5, BULK),
        (("bulk", "other"), 1, 1.5, OTHER),
        (("bulk", "other"), 2, 1.5, BULK),
    ],
)
def test_urgent_work_is_next_even_if_its_model_is_not_loaded(
    monkeypatch: pytest.MonkeyPatch, loaded: tuple[str, ...], priority: int, seconds: float, expected: str
) -> None:
    monkeypatch.setattr(settings, "get", settings.Settings)
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    rotation = PoolRotation(BULK, FakeModels(*loaded))  # type: ignore[arg-type]
    monkeypatch.setattr(rotation, "_waiting", lambda: {BULK: 1, OTHER: priority})
    now[0] += seconds
    assert rotation.next() == expected
