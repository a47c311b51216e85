"""Which pool a busy worker claims from."""

import pytest

from lengthwise import settings
from lengthwise.kinds import pool as pools
from lengthwise.kinds.kind import Decoding
from worker.generation.pool_rotation import PassedOver, PoolRotation

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
    rotation = PoolRotation(BULK, FakeModels(*loaded), PassedOver())  # type: ignore[arg-type]
    monkeypatch.setattr(rotation, "_waiting", lambda: {BULK: 1, OTHER: priority})
    now[0] += seconds
    assert rotation.next() == expected


def turns(monkeypatch: pytest.MonkeyPatch, seconds: int, load_seconds: float, n_loaded: int, own: int) -> list[str]:
    """The model that a worker serves each second. Every bell that it hears names the first pool.

    All ``own`` pools have work all the time. It keeps the ``n_loaded`` models that it served last.
    """
    made = settings.Settings()
    monkeypatch.setattr(settings, "get", lambda: made)
    now, served, loaded = [100.0], [], ["m0"]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    waiting = {pools.name(f"m{number}", Decoding(max_new_tokens=4)): 1 for number in range(own)}
    passed_over, models = PassedOver(), FakeModels()
    while now[0] < 100 + seconds:
        rotation = PoolRotation(next(iter(waiting)), models, passed_over)  # type: ignore[arg-type]
        monkeypatch.setattr(rotation, "_waiting", lambda: waiting)
        while not rotation.is_over:
            model = pools.model_of(rotation.next())
            if model not in loaded:
                now[0] += load_seconds
            loaded = [*(each for each in loaded if each != model), model][-n_loaded:]
            models._loaded = tuple(loaded)
            now[0] += 1.01
            served.append(model)
    return served


@pytest.mark.parametrize(("own", "n_loaded"), [(2, 1), (3, 2), (4, 2), (6, 2), (3, 3)])
def test_no_pool_waits_for_ever_whatever_its_bells_wait_behind(
    monkeypatch: pytest.MonkeyPatch, own: int, n_loaded: int
) -> None:
    served = turns(monkeypatch, 1800, 0.1, n_loaded, own)
    for number in range(own):
        places = [place for place, model in enumerate(served) if model == f"m{number}"]
        gaps = [after - before for before, after in zip([0, *places], [*places, len(served)], strict=False)]
        assert max(gaps) <= 25 * own, (number, max(gaps))


def test_a_worker_does_not_spend_its_time_on_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    served = turns(monkeypatch, 3600, 30, 3, 6)
    assert len(served) > 3600 / 2


def test_a_pool_that_was_passed_over_comes_before_no_urgent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "get", settings.Settings)
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    rotation = PoolRotation(BULK, FakeModels("bulk"), PassedOver())  # type: ignore[arg-type]
    monkeypatch.setattr(rotation, "_waiting", lambda: {BULK: 1, OTHER: 2})
    for _ in range(100):
        now[0] += 1.5
        assert rotation.next() == BULK
