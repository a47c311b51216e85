"""What the watchdog takes for a hanging engine. Tests with real workers show that it kills one."""

import os
import time

import pytest

from worker.generation.watchdog import Watchdog
from worker.shutdown import Shutdown


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(Shutdown())


def test_an_idle_engine_is_never_stalled(watchdog: Watchdog) -> None:
    with watchdog.watched():
        pass
    time.sleep(0.01)
    assert watchdog.stalled(0.001) is None


def test_an_engine_without_progress_is_stalled_and_its_process_is_known(watchdog: Watchdog) -> None:
    with watchdog.watched():
        time.sleep(0.02)
        assert watchdog.stalled(0.01) == os.getpid()
        assert watchdog.stalled(60) is None


def test_each_completion_counts_as_progress(watchdog: Watchdog) -> None:
    with watchdog.watched() as progress:
        time.sleep(0.02)
        progress()
        assert watchdog.stalled(0.015) is None


def test_after_a_batch_failed_the_engine_is_idle(watchdog: Watchdog) -> None:
    try:
        with watchdog.watched():
            raise ValueError
    except ValueError:
        time.sleep(0.01)
    assert watchdog.stalled(0.001) is None
