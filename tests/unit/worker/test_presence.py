"""What a process reports of itself. Nothing is written here: tests with a database show that it is."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.errors import ConfigurationError, InvalidInput, ModelUnusable, Unavailable
from lengthwise.ledger.workers import WorkerReport, lost_after, state_of
from lengthwise.states import WorkerRole, WorkerState
from worker import presence as module
from worker.engine.protocol import EngineError, EngineUnavailable, OutOfMemoryError
from worker.presence import Presence, reports
from worker.presence.pace import Pace
from worker.shutdown import Shutdown

REPORTED = [state for state in WorkerState if state is not WorkerState.LOST]
SECRET = "kanarienvogel"


class Reporting:
    """A process whose clock the test moves, and which reports when the test asks."""

    def __init__(self) -> None:
        self.now, self.step, self.busy = 1000.0, 0.0, 0.0
        self.shutdown = Shutdown()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reports, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
            self.presence = Presence(WorkerRole.GENERATE, self.shutdown)
            self._clocked(lambda: self.presence.begin(lambda: self.step, busy_seconds=lambda: self.busy))

    def _clocked(self, act: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
            return act()

    def do(self, name: str, *arguments: Any, **named: Any) -> None:
        """Calls a method of the presence, a second after the last."""
        self.now += 1
        self._clocked(lambda: getattr(self.presence, name)(*arguments, **named))

    def report(self, after: float = 1.0) -> WorkerReport:
        self.now += after
        made: WorkerReport = self._clocked(self.presence._made)
        return made


LOADED = {"revision": "r", "quantization": "int8", "device": "cpu", "memory_bytes": 7, "load_seconds": 1.5}


@given(st.sampled_from(REPORTED), st.floats(0, 1e6), st.floats(0.01, 10))
def test_a_process_is_lost_after_three_periods_and_until_then_what_it_said(
    reported: WorkerState, seen: float, period: float
) -> None:
    found = state_of(reported.value, seen, period)
    assert found is (WorkerState.LOST if seen > 3 * period else reported)
    assert lost_after(period) <= 30, "the longest period that the settings allow"


@given(st.lists(st.sampled_from(["ready", "batch", "settled", "busy", "free", "stop"]), max_size=30))
def test_each_report_has_the_state_that_its_past_gives(events: list[str]) -> None:
    worker, is_ready, is_busy, is_stopping = Reporting(), False, False, False
    for event in events:
        if event == "ready":
            is_ready = True
            worker.do("ready")
        elif event == "batch":
            worker.do("batch", 3, 30)
        elif event == "settled":
            worker.do("settled", 3, 30)
        elif event == "stop":
            is_stopping = True
            worker.shutdown.begin()
        else:
            is_busy = event == "busy"
        worker.step = worker.now if is_busy else 0.0
        found = worker.report().state
        if is_stopping:
            assert found is WorkerState.STOPPING
        elif not is_ready:
            assert found is WorkerState.STARTING
        else:
            assert (found is WorkerState.WORKING) is (is_busy or event in ("batch", "settled")), event
            assert found in (WorkerState.WORKING, WorkerState.IDLE)


def test_its_batch_is_shown_while_it_works_and_no_longer() -> None:
    worker = Reporting()
    worker.do("ready")
    worker.presence.pool = "de-en:4"
    worker.do("batch", 12, 345)
    busy, idle = worker.report(), worker.report()
    assert (busy.model, busy.pool, busy.batch_rows, busy.batch_tokens) == ("de-en", "de-en:4", 12, 345)
    assert (idle.model, idle.pool, idle.batch_rows, idle.batch_tokens) == (None, None, None, None)
    assert (busy.stepped_seconds, idle.stepped_seconds) == (1, 2)


def test_a_worker_that_did_nothing_yet_has_no_last_step() -> None:
    assert Reporting().report().stepped_seconds is None


def test_what_it_settled_is_summed_and_its_speed_is_that_of_the_last_minute() -> None:
    worker = Reporting()
    worker.do("settled", 100, 7)
    worker.do("settled", 20, 3)
    first = worker.report(after=8)
    assert (first.n_items, first.n_tokens, first.items_per_second) == (120, 10, 12)
    assert worker.report(after=30).items_per_second == pytest.approx(120 / 40)
    for _ in range(3):
        last = worker.report(after=30)
    assert (last.n_items, last.items_per_second) == (120, 0)


def test_its_speed_while_it_works_is_not_that_of_a_minute_in_which_it_was_idle() -> None:
    worker = Reporting()
    worker.busy += 10
    worker.do("settled", 600)
    for _ in range(12):
        found = worker.report(after=5)
    assert (found.busy_seconds, found.items_per_busy_second) == (10, 60)
    assert found.items_per_second <= 10
    for _ in range(12):
        found = worker.report(after=5)
    assert (found.items_per_second, found.items_per_busy_second) == (0, 60), "it is as fast as it was"


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 5.0, 30.0]), st.sampled_from([0.0, 2.5, 5.0])), min_size=1, max_size=60
    )
)
def test_a_worker_of_an_even_speed_reports_it_however_its_work_is_spread(periods: list[tuple[float, float]]) -> None:
    """Each period is idle and then busy for so long. 4 items a second are settled while it is busy."""
    worker = Reporting()
    for idle, busy in periods:
        worker.busy += busy
        worker.presence.settled(round(4 * busy))
        found = worker.report(after=idle + busy + 1)
        assert found.items_per_busy_second == (4 if worker.busy else 0)
        assert found.items_per_second <= 4


@given(st.lists(st.tuples(st.floats(0.1, 50), st.integers(0, 1000)), min_size=1, max_size=50))
def test_a_pace_is_that_of_the_last_minute(steps: list[tuple[float, int]]) -> None:
    pace, at, total, known = Pace(0.0), 0.0, 0, [(0.0, 0)]
    for seconds, n_items in steps:
        at, total = at + seconds, total + n_items
        known.append((at, total))
        began_at, n_before = [each for each in known if at - each[0] >= 60 or each == known[0]][-1]
        assert pace.after(at, total) == pytest.approx((total - n_before) / (at - began_at))


def test_a_process_that_does_not_know_how_long_it_worked_says_so() -> None:
    worker = Reporting()
    worker.presence._busy_seconds = lambda: None
    assert (worker.report().busy_seconds, worker.report().items_per_busy_second) == (None, None)


def test_a_model_is_shown_from_its_load_until_it_is_dropped() -> None:
    worker = Reporting()
    worker.do("loaded", "a", **LOADED)
    [shown] = worker.report().models
    assert (shown.name, shown.state, shown.memory_bytes, shown.load_seconds) == ("a", "loaded", 7, 1.5)
    assert worker.report().device == "cpu"
    worker.do("dropped", "a")
    worker.do("dropped", "a")
    assert worker.report().models == []


def test_a_newer_revision_that_fails_leaves_the_older_one_loaded_and_says_why() -> None:
    worker = Reporting()
    worker.do("loaded", "a", **LOADED)
    worker.do("failed", "a", EngineError("its weights do not fit"))
    [shown] = worker.report(after=5).models
    assert (shown.state, shown.revision, shown.reason) == ("loaded", "r", "its weights do not fit")
    assert shown.failed_seconds == 5
    worker.do("loaded", "a", **LOADED)
    [shown] = worker.report().models
    assert (shown.reason, shown.failed_seconds) == (None, None)


def test_a_newer_revision_that_failed_is_forgotten_once_the_older_one_is_wanted_again() -> None:
    worker = Reporting()
    worker.do("loaded", "a", **LOADED)
    worker.do("failed", "a", EngineError("its weights do not fit"))
    worker.do("failed", "b", EngineError("no"))
    for name in ("a", "b", "unknown"):
        worker.do("mended", name)
    a, b = worker.report().models
    assert (a.state, a.revision, a.reason, a.failed_seconds) == ("loaded", "r", None, None)
    assert (b.state, b.reason) == ("failed", "no")


def test_a_failure_is_forgotten_when_the_model_is_named_no_more() -> None:
    worker = Reporting()
    worker.do("failed", "a", EngineError("no"))
    worker.do("failed", "b", EngineError("no"))
    worker.do("loaded", "c", **LOADED)
    worker.do("keep", ["b"])
    assert [model.name for model in worker.report().models] == ["b", "c"]


def test_a_pause_ends_by_itself() -> None:
    worker = Reporting()
    worker.do("paused", "unknown", 5, EngineUnavailable("the server is away"))
    worker.do("loaded", "a", **LOADED)
    worker.do("paused", "a", 5, EngineUnavailable("the server is away"))
    [shown] = worker.report(after=2).models
    assert (shown.paused_seconds, shown.paused_for) == (3, "the server is away")
    [shown] = worker.report(after=3).models
    assert (shown.paused_seconds, shown.paused_for) == (None, None)


@pytest.mark.parametrize(
    ("error", "error_text", "reason"),
    [
        (EngineError("the batch failed"), "EngineError: the batch failed", "the batch failed"),
        (OutOfMemoryError(), "OutOfMemoryError", "unexpected OutOfMemoryError"),
        (Unavailable("the database is away"), "Unavailable: the database is away", "the database is away"),
        (InvalidInput("must be a name", "x"), "InvalidInput: must be a name", "must be a name"),
        (ModelUnusable("a", "c", "no weights", "copy them"), "ModelUnusable: no weights", "no weights"),
        (ValueError(SECRET), "ValueError", "unexpected ValueError"),
        (KeyError(SECRET), "KeyError", "unexpected KeyError"),
        (ConfigurationError("the folder /srv/m/a does not exist"), "ConfigurationError: the folder a does not exist",
         "the folder a does not exist"),
        (ConfigurationError("/srv/m/a.json: bad"), "ConfigurationError: a.json: bad", "a.json: bad"),
        (EngineError("no '/srv/m/model.bin' there"), "EngineError: no 'model.bin' there", "no 'model.bin' there"),
        (EngineUnavailable("http://host/v1/a is away"), "EngineUnavailable: http://host/v1/a is away",
         "http://host/v1/a is away"),
    ],
)  # fmt: skip
def test_an_error_is_told_by_its_class_and_by_our_own_message_alone(
    error: Exception, error_text: str, reason: str
) -> None:
    worker = Reporting()
    worker.do("error", error)
    worker.do("failed", "a", error)
    made = worker.report()
    assert (made.last_error, made.error_seconds, made.models[0].reason) == (error_text, 2, reason)
    assert SECRET not in str(made)


@given(st.lists(st.text("abc.-_", min_size=1), min_size=2, max_size=200))
def test_no_message_names_a_folder_of_this_machine(parts: list[str]) -> None:
    worker = Reporting()
    worker.do("failed", "a", ConfigurationError(f"look at /{'/'.join(parts)} first"))
    [shown] = worker.report().models
    assert shown.reason is not None
    assert len(shown.reason) <= 500
    assert shown.reason.count("/") <= 1, "what a long message was cut in"
