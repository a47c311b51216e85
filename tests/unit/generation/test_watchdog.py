"""What the watchdog takes for a hanging worker. Tests with real workers show that it kills one."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from worker.generation import watchdog as module
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


def test_the_time_of_the_engine_is_busy_once_however_it_is_nested_and_idle_time_is_not(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    assert watchdog.busy_seconds == 0
    with watchdog.watched():
        now += 2
        with watchdog.watched():
            now += 3
        assert watchdog.busy_seconds == 5, "also while it lasts"
        now += 1
    now += 50
    assert watchdog.busy_seconds == 6
    with pytest.raises(ValueError, match="failed"), watchdog.watched():
        now += 4
        raise ValueError("failed")
    now += 50
    assert watchdog.busy_seconds == 10


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


def test_what_follows_a_batch_is_watched_until_the_task_ends(watchdog: Watchdog) -> None:
    with watchdog.watched():
        with watchdog.watched():
            time.sleep(0.02)
        assert watchdog.stalled(0.015) is None, "the end of the batch is a step"
        time.sleep(0.02)
        assert watchdog.stalled(0.015) == os.getpid()
        watchdog.step()
        assert watchdog.stalled(0.015) is None
    time.sleep(0.02)
    watchdog.step()
    assert watchdog.stalled(0.001) is None


def test_loading_a_model_may_take_longer_whichever_thread_does_it(watchdog: Watchdog) -> None:
    with watchdog.watched():
        with watchdog.patient(), watchdog.patient():
            time.sleep(0.02)
            assert watchdog.stalled(0.01) is None
            assert watchdog.stalled(0.001) == os.getpid()
        assert watchdog.stalled(0.01) is None
        time.sleep(0.02)
        assert watchdog.stalled(0.01) == os.getpid()


def test_a_process_in_which_no_python_runs_is_stalled_even_if_no_task_runs(watchdog: Watchdog) -> None:
    assert watchdog.stalled(60, 0.0) is None, "there is no process yet"
    watchdog.beat()
    assert watchdog.stalled(60, 5) is None
    pow(7, 10**6)  # the interpreter is held while this computes
    watchdog._progress.beat_at -= 10
    assert watchdog.stalled(60, 5) == os.getpid()
    with watchdog.patient():
        assert watchdog.stalled(60, 5) is None


def test_a_thread_shows_again_and_again_that_python_runs(watchdog: Watchdog) -> None:
    watchdog.beat()
    watchdog._progress.beat_at -= 10
    time.sleep(0.5)
    assert watchdog.stalled(60, 5) is None


def test_a_new_process_does_not_inherit_the_step_in_which_the_last_one_died(watchdog: Watchdog) -> None:
    shared = watchdog._progress
    shared.process, shared.made_at, shared.is_patient, shared.beat_at = 1, 1.0, 1, 1.0
    watchdog.beat()
    assert (shared.process, shared.made_at, shared.is_patient) == (os.getpid(), 0.0, 0)
    with watchdog.watched():
        pass
    assert watchdog.stalled(0.0) is None, "idle, not between two steps"


def test_a_process_that_loads_its_first_models_ends_as_soon_as_its_worker_shuts_down() -> None:
    loading, ready = (subprocess.Popen([*_STARTS, how], stdout=subprocess.PIPE) for how in ("loading", "ready"))
    assert loading.communicate(timeout=30)[0] == b"before its end\n"
    assert loading.returncode == 0
    assert ready.communicate(timeout=30)[0] == b""
    assert ready.returncode == 3, "it holds claims, which it gives back first"


def test_a_process_is_deserted_once_its_parent_has_not_looked_for_long(watchdog: Watchdog) -> None:
    assert not watchdog.is_deserted, "the parent looks only once all processes are there"
    watchdog._progress.looked_at = time.monotonic()
    assert not watchdog.is_deserted
    watchdog._progress.looked_at -= 60
    assert watchdog.is_deserted


def test_a_parent_that_freezes_before_its_thread_wakes_up_has_looked(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_watch", lambda: None)
    watchdog.start()
    assert watchdog._progress.looked_at > 0


def test_the_last_step_is_known_while_the_engine_works(watchdog: Watchdog) -> None:
    assert watchdog.step_at == 0
    with watchdog.watched():
        assert time.monotonic() - 60 < watchdog.step_at <= time.monotonic()
    assert watchdog.step_at == 0


#: Loads its models for as long as it can, and is told meanwhile that its worker shuts down.
_STARTS = (sys.executable, "-c", """
import sys, time
from worker.generation.watchdog import Watchdog
from worker.shutdown import Shutdown

shutdown = Shutdown()
watchdog = Watchdog(shutdown)
watchdog.beat()
with watchdog.starting(before_end=lambda: print("before its end", flush=True)):
    if sys.argv[1] == "loading":
        shutdown.begin()
        time.sleep(60)
shutdown.begin()
time.sleep(1)
sys.exit(3)
""")  # fmt: skip


def test_time_in_which_the_whole_worker_was_frozen_is_no_hang(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    waits = iter((0.1, 500.0))

    def sleep(_: float) -> None:
        clock[0] += next(waits)

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    with watchdog.watched():
        watchdog._progress.beat_at = clock[0]
        watchdog._sleep()
        watchdog._sleep()
        assert watchdog.stalled(1, 1) is None
        clock[0] += 1
        assert watchdog.stalled(1, 100) == os.getpid()
        assert watchdog.stalled(100, 1) == os.getpid()


def test_a_process_that_died_by_itself_just_now_does_not_end_the_watching(watchdog: Watchdog) -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    watchdog._kill(process.pid)


def test_a_killed_process_is_not_killed_again(watchdog: Watchdog) -> None:
    with watchdog.watched(), subprocess.Popen(["/bin/sleep", "60"]) as process:
        watchdog._progress.process = process.pid
        watchdog._kill(process.pid)
        watchdog._progress.beat_at = 1.0  # its last act
        assert watchdog.stalled(0.0, 0.0) is None
