"""Checks run in threads, and no tenant's checks wait for all of another's."""

from threading import Event
from uuid import uuid4

from tests.servers import wait_until
from worker.generation.answer_checks import AnswerChecks


def test_a_tenant_waits_for_one_check_of_each_other_tenant_at_most() -> None:
    checks, is_free, ended = AnswerChecks(), Event(), list[str]()

    def hold() -> None:
        is_free.wait()

    many, few = uuid4(), uuid4()
    for _ in range(2):  # one for each thread
        checks.add(uuid4(), hold)
    for _ in range(50):
        checks.add(many, lambda: ended.append("many"))
    checks.add(few, lambda: ended.append("few"))
    is_free.set()
    wait_until(lambda: len(ended) == 51)
    assert "few" in ended[:4]


def test_the_end_of_a_check_ends_the_wait() -> None:
    checks, is_free = AnswerChecks(), Event()

    def hold() -> None:
        is_free.wait()

    checks.add(uuid4(), hold)
    checks.wait(0.01)
    is_free.set()
    checks.wait(60)
    is_ended = Event()
    checks.add(uuid4(), is_ended.set)
    assert is_ended.wait(60)
