"""The watchdog's eyes: what it takes for an engine that hangs. That it bites is shown on real workers."""

import os
import time

import pytest

from worker.generation.watchdog import Watchdog
from worker.shutdown import Shutdown


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(Shutdown())


def test_an_engine_that_rests_is_never_stalled(watchdog: Watchdog) -> None:
    with watchdog.watched():
        pass
    time.sleep(0.01)
    assert watchdog.stalled(0.001) is None


def test_an_engine_that_gets_nowhere_is_stalled_and_known_by_its_process(watchdog: Watchdog) -> None:
    with watchdog.watched():
        time.sleep(0.02)
        assert watchdog.stalled(0.01) == os.getpid()
        assert watchdog.stalled(60) is None


def test_each_completion_counts_as_getting_on(watchdog: Watchdog) -> None:
    with watchdog.watched() as progress:
        time.sleep(0.02)
        progress()
        assert watchdog.stalled(0.015) is None


def test_a_batch_that_fails_is_at_rest(watchdog: Watchdog) -> None:
    try:
        with watchdog.watched():
            raise ValueError
    except ValueError:
        time.sleep(0.01)
    assert watchdog.stalled(0.001) is None
