"""What an autoscaler is told: the figures of the ledger, and the answer to its question."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from lengthwise import database
from lengthwise.ledger import scaling
from lengthwise.scaling.answer import ScalingAnswer, _load
from lengthwise.settings import Settings
from tests import ledger

pytestmark = pytest.mark.usefixtures("installed")

DRAIN = 900.0


def read_work(*models: str) -> scaling.OpenWork:
    with database.engine().connect() as connection:
        return scaling.read_work(connection, models, drain_seconds=DRAIN)


def find_workers(device: str | None = None) -> scaling.LiveWorkers:
    with database.engine().connect() as connection:
        return scaling.find_workers(connection, device)


def add_worker(
    *,
    role: str = "generate",
    state: str = "working",
    device: str | None = "cpu",
    rate: float = 10.0,
    age: float = 600,
    unseen: float = 1,
    busy: float | None = 60,
    busy_rate: float | None = None,
) -> None:
    """A worker of this rate over the last minute. While it works it is ``busy_rate``, by default the same.

    If ``busy`` is None, it is one of an older release, which does not know for how long it worked.
    """
    values = {"role": role, "device": device, "state": state, "rate": rate, "age": age, "unseen": unseen, "busy": busy}
    ledger.sql(_ADD, id=uuid4(), **values, busy_rate=None if busy is None else busy_rate or rate)


_ADD = """
INSERT INTO workers (id, role, name, host, pid, device, version, started_at, seen_at, state, n_items, n_tokens,
                     items_per_second, busy_seconds, items_per_busy_second, models)
VALUES (:id, :role, 'one', 'here', 1, :device, '0', now() - make_interval(secs => :age),
        now() - make_interval(secs => :unseen), :state, 1, 1, :rate, :busy, :busy_rate, '[]')
"""


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


class TestWork:
    """The open work, by the time at which it is due."""

    def test_without_open_jobs_there_is_none(self) -> None:
        assert read_work() == scaling.OpenWork((), 0.0, 0, 0)

    def test_work_without_a_deadline_is_due_after_the_drain_time(self) -> None:
        ledger.submit(["abcd"] * 10)
        ((seconds, tokens, is_deadline),) = read_work().due
        assert (tokens, is_deadline) == (40, False)
        assert DRAIN - 60 < seconds <= DRAIN
        ledger.sql("UPDATE jobs SET created_at = created_at - interval '1 hour'")
        assert DRAIN - 3660 < read_work().due[0].seconds <= DRAIN - 3600

    def test_work_with_a_deadline_is_due_then_and_the_nearest_comes_first(self) -> None:
        ledger.submit(["abcd"], deadline_at=in_seconds(7200))
        ledger.submit(["ab"])
        ledger.submit(["abc"], deadline_at=in_seconds(100))
        assert [(each.tokens, each.is_deadline) for each in read_work().due] == [(3, True), (2, False), (4, True)]

    def test_many_deadlines_are_few_steps_of_which_each_takes_its_nearest(self) -> None:
        for minutes in range(1, 61):
            ledger.submit(["abcd"], deadline_at=in_seconds(60 * minutes))
        due = read_work().due
        assert len(due) < 25
        assert sum(each.tokens for each in due) == 240
        assert due[0].seconds <= 60
        assert due[-1].seconds > 3600 / 1.25**2

    def test_what_is_done_of_a_large_job_counts_no_more(self) -> None:
        ledger.submit(["abcd"] * 100, shard_items=1)
        ledger.put(ledger.must_take(items=30))
        work = read_work()
        assert [each.tokens for each in work.due] == [280]
        assert work.tokens_per_item == 4

    def test_ended_jobs_do_not_count(self) -> None:
        ledger.submit(["abcd"])
        ledger.put(ledger.must_take())
        assert read_work().due == ()

    def test_what_workers_hold_is_part_of_it(self) -> None:
        ledger.submit(["abcd"] * 10, shard_items=1)
        ledger.must_take(items=2)
        ledger.must_take(items=3)
        work = read_work()
        assert (work.running_tokens, work.n_claims, work.waiting_tokens) == (20, 2, 20)

    def test_only_the_models_that_are_asked_for_count(self) -> None:
        ledger.submit(["abcd"], pool="one:test")
        ledger.submit(["ab"], pool="two:test")
        ledger.must_take("two:test")
        assert [each.tokens for each in read_work("one").due] == [4]
        assert read_work("one").n_claims == 0
        assert sum(each.tokens for each in read_work("one", "two").due) == 6
        assert read_work("two").running_tokens == 2
        assert read_work("three").due == ()


class TestWorkers:
    """The workers that are there, and their rate."""

    def test_only_live_generation_workers_count(self) -> None:
        for state in ("starting", "idle", "working"):
            add_worker(state=state)
        add_worker(state="stopping")
        add_worker(role="deliver")
        add_worker(unseen=60)
        assert find_workers().count == 3

    def test_their_rate_is_the_mean_of_those_that_have_worked_for_long_enough(self) -> None:
        assert find_workers() == scaling.LiveWorkers(0, None)
        add_worker(busy=5, rate=1000)
        add_worker(state="idle", rate=1)
        add_worker(rate=0)
        assert find_workers().items_per_second is None
        add_worker(rate=10)
        add_worker(rate=30)
        assert find_workers().items_per_second == 20

    def test_the_time_in_which_a_worker_was_idle_does_not_make_it_slow(self) -> None:
        """It worked for 10 s of the last minute: a sixth of its speed would call for six times the workers."""
        add_worker(rate=50, busy=10, busy_rate=300)
        assert find_workers().items_per_second == 300

    def test_a_worker_that_has_just_started_counts_once_it_has_worked(self) -> None:
        add_worker(age=15, busy=12, rate=80, busy_rate=100)
        assert find_workers().items_per_second == 100

    def test_a_worker_of_an_older_release_counts_by_its_last_minute(self) -> None:
        add_worker(busy=None, age=20, rate=1000)
        assert find_workers().items_per_second is None
        add_worker(busy=None, rate=40)
        assert find_workers().items_per_second == 40

    def test_only_those_on_the_device_that_is_asked_for_count(self) -> None:
        add_worker(device="cuda:0", rate=100)
        add_worker(device="cuda:1", rate=200)
        add_worker(device="cpu", rate=10)
        add_worker(device=None, state="starting")
        assert find_workers("cuda") == scaling.LiveWorkers(2, 150)
        assert find_workers("cuda:1") == scaling.LiveWorkers(1, 200)
        assert find_workers("c%") == scaling.LiveWorkers(0, None)


def ask(answer: ScalingAnswer, query: str = "") -> dict[str, Any]:
    status, body = answer(query)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


class TestAnswer:
    """The answer as JSON."""

    @pytest.fixture
    def answer(self) -> ScalingAnswer:
        return ScalingAnswer(database.engine(), Settings(scaling_tokens_per_second=1, scaling_max_workers=7))

    def test_an_idle_installation_needs_nobody(self, answer: ScalingAnswer) -> None:
        assert ask(answer) == {
            "desired": 0,
            "needed": 0,
            "busy": 0,
            "live": 0,
            "waiting_tokens": 0,
            "running_tokens": 0,
            "tokens_per_second": 1.0,
            "nearest_deadline_seconds": None,
        }

    def test_work_needs_workers_up_to_the_limit(self, answer: ScalingAnswer) -> None:
        ledger.submit(["abcd"] * 500)
        found = ask(answer)
        assert found["waiting_tokens"] == 2000
        assert found["needed"] == 3  # 2,000 tokens in 900 - 120 s
        ledger.submit(["abcd"] * 5000)
        assert ask(answer)["desired"] == 7

    def test_as_many_are_busy_as_hold_a_claim(self, answer: ScalingAnswer) -> None:
        ledger.submit(["a"] * 10, shard_items=1)
        for _ in range(3):
            ledger.must_take(items=1)
        add_worker()
        add_worker()
        found = ask(answer)
        assert (found["busy"], found["live"], found["desired"]) == (2, 2, 2)

    def test_the_rate_of_a_worker_is_that_of_its_work(self) -> None:
        """Under full load the measured rate takes the place of the one in the settings."""
        ledger.submit(["abcd"] * 10, shard_items=1)
        ledger.must_take(items=1)
        add_worker(rate=5, busy=10, busy_rate=30)
        with database.engine().connect() as connection:
            work, workers = scaling.read_work(connection, [], drain_seconds=DRAIN), scaling.find_workers(connection)
        assert _load(work, workers).tokens_per_second == 30 * 4

    def test_models_and_devices_are_groups_of_their_own(self, answer: ScalingAnswer) -> None:
        ledger.submit(["abcd"] * 500, pool="one:test", deadline_at=in_seconds(3600))
        assert ask(answer, "model=two")["desired"] == 0
        one = ask(answer, "model=one&model=two&device=cuda")
        assert one["desired"] > 0
        assert 3500 < one["nearest_deadline_seconds"] <= 3600

    @pytest.mark.parametrize(
        "query",
        [
            "mode=one",
            "model",
            "model=a&device=cpu&device=cuda",
            "model=%ff",
            "model=%00",
            "model=" + "a" * 5000,
            "&",
            "=",
        ],
    )
    def test_a_question_that_is_not_understood_is_refused(self, answer: ScalingAnswer, query: str) -> None:
        status, body = answer(query)
        assert status == 400
        assert json.loads(body).keys() == {"error"}

    def test_many_groups_are_not_remembered_without_end(self, answer: ScalingAnswer) -> None:
        for number in range(100):
            ask(answer, f"model={number}")
        assert len(answer._memories) == 64

    def test_while_the_database_is_away_nothing_is_said(self) -> None:
        nobody = database.connect("postgresql://127.0.0.1:1/nobody")
        status, body = ScalingAnswer(nobody, Settings())("")
        assert (status, json.loads(body)) == (503, {"error": "the database does not answer"})
