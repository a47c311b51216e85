"""A function on a stranger's bytes cannot use more than its budget, and cannot hurt its caller."""

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from lengthwise.confined import Budget, Confined, ConfinedError, OverBudget
from lengthwise.errors import InvalidInput, TooLarge, Unavailable
from tests.servers import wait_until

_BUDGET = Budget(seconds=0.3, memory_bytes=64 * 2**20)


def act(request: bytes, file: IO[bytes] | None) -> Iterator[bytes]:
    """What the children of these tests do, by the request's first word."""
    match request.split():
        case [b"echo", word]:
            yield word
        case [b"count", number]:
            yield from (b"%d " % at for at in range(int(number)))
        case [b"loop"]:
            sum(1 for _ in iter(int, 1))
        case [b"sleep"]:
            time.sleep(60)
        case [b"compile"]:
            pow(7, 10**8)  # one call that holds the GIL
        case [b"allocate", number]:
            yield b"%d" % len(bytearray(int(number)))
        case [b"allocate-after-an-answer", number]:
            yield b"first"
            yield b"%d" % len(bytearray(int(number)))
        case [b"refuse"]:
            raise InvalidInput("is not valid", "items[3].text", 3)
        case [b"refuse-as-large"]:
            raise TooLarge("has too many")
        case [b"fail", word]:
            raise ValueError(word)
        case [b"exit"]:
            os._exit(3)
        case [b"environment", name]:
            yield os.environ.get(name.decode(), "none").encode()
        case [b"connect", port]:
            try:
                socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
            except ConnectionError:
                yield b"refused"
            except OSError:
                yield b"unreachable"
            else:
                yield b"connected"
        case [b"pid"]:
            yield b"%d" % os.getpid()
        case [b"parent"]:
            yield b"%d" % os.getppid()
        case [b"answer-and-loop", number]:
            yield bytes(int(number))
            sum(1 for _ in iter(int, 1))
        case [b"read"]:
            assert file is not None
            yield file.read()


@pytest.fixture
def confined() -> Iterator[Confined]:
    made = Confined("tests.unit.test_confined:act", _BUDGET)
    yield made
    made.close()


def test_answers_come_back_in_order(confined: Confined) -> None:
    assert confined.call(b"echo word") == b"word"
    assert list(confined.stream(b"count 4")) == [b"0 ", b"1 ", b"2 ", b"3 "]
    assert confined.call(b"") == b""


def test_the_same_child_answers_further_calls(confined: Confined) -> None:
    assert confined.call(b"pid") == confined.call(b"pid") != b"%d" % os.getpid()


def test_the_child_reads_a_file_from_its_beginning(confined: Confined) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"a stranger's file")
        file.flush()
        assert confined.call(b"read", file) == b"a stranger's file"
        assert confined.call(b"read", file) == b"a stranger's file"


def test_the_child_has_no_network_where_the_system_lets_it_leave(confined: Confined) -> None:
    ways = (["unshare", "-n", "true"], ["unshare", "-U", "-n", "true"])
    may_leave = any(subprocess.run(way, capture_output=True).returncode == 0 for way in ways)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = confined.call(b"connect %d" % server.getsockname()[1])
    assert found == (b"unreachable" if may_leave else b"connected")


def test_a_caller_may_be_more_patient_or_less() -> None:
    confined = Confined("tests.unit.test_confined:act", _BUDGET, patience_seconds=3)
    with pytest.raises(Unavailable, match="too busy"):
        confined.call(b"sleep")
    confined.close()


@pytest.mark.parametrize("request_", [b"loop", b"compile"])
def test_a_loop_is_ended_although_it_holds_the_gil(confined: Confined, request_: bytes) -> None:
    with pytest.raises(OverBudget) as caught:
        confined.call(request_)
    assert caught.value.resource == "time"
    assert confined.call(b"echo again") == b"again"


def test_after_a_loop_the_next_call_needs_no_new_interpreter(confined: Confined) -> None:
    before = confined.call(b"pid"), confined.call(b"parent")
    for _ in range(3):
        with pytest.raises(OverBudget):
            confined.call(b"loop")
    after = confined.call(b"pid"), confined.call(b"parent")
    assert before[0] != after[0]
    assert before[1] == after[1] != b"%d" % os.getpid()


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_what_an_ended_call_has_answered_does_not_reach_the_next_one(confined: Confined, size: int) -> None:
    begun = confined.stream(b"answer-and-loop %d" % size)
    with pytest.raises(OverBudget):
        list(begun)
    assert confined.call(b"echo again") == b"again"


def test_children_that_died_while_they_were_idle_are_replaced() -> None:
    confined = Confined("tests.unit.test_confined:act", _BUDGET, processes=2)
    both = [confined.stream(b"count 2") for _ in range(2)]
    assert [next(each) for each in both] == [b"0 ", b"0 "]
    for each in both:
        list(each)
    processes = [int(_only(child.answers(b"pid", None))) for child in confined._idle]
    for process in processes:
        os.kill(process, signal.SIGKILL)
        wait_until(lambda process=process: not _runs(process))
    assert confined.call(b"echo word") == b"word"
    assert confined.call(b"echo again") == b"again"
    confined.close()


def _only(answers: Iterator[bytes]) -> bytes:
    [answer] = answers
    return answer


def test_no_process_is_left_when_its_children_are_closed() -> None:
    confined = Confined("tests.unit.test_confined:act", _BUDGET)
    processes = [int(confined.call(word)) for word in (b"pid", b"parent")]
    confined.close()
    for process in processes:
        wait_until(lambda process=process: not _runs(process))


def _runs(process: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended between opening and reading
        return False


def test_a_child_that_waits_although_it_computes_nothing_is_no_fault_of_the_request() -> None:
    hasty = Confined("tests.unit.test_confined:act", _BUDGET, patience_seconds=2.0)
    with pytest.raises(Unavailable):
        hasty.call(b"sleep")
    assert hasty.call(b"echo again") == b"again"
    hasty.close()


def test_memory_beyond_the_budget_is_refused(confined: Confined) -> None:
    assert confined.call(b"allocate 30000000") == b"30000000"
    with pytest.raises(OverBudget) as caught:
        confined.call(b"allocate 300000000")
    assert caught.value.resource == "memory"
    with pytest.raises(OverBudget):
        list(confined.stream(b"allocate-after-an-answer 300000000"))
    assert confined.call(b"echo again") == b"again"


def test_a_refusal_keeps_its_kind_its_field_and_its_index(confined: Confined) -> None:
    with pytest.raises(InvalidInput, match="is not valid") as caught:
        confined.call(b"refuse")
    assert (caught.value.field, caught.value.index) == ("items[3].text", 3)
    with pytest.raises(TooLarge, match="has too many"):
        confined.call(b"refuse-as-large")


def test_an_unexpected_error_names_its_type_and_nothing_that_was_sent(confined: Confined) -> None:
    with pytest.raises(ConfinedError) as caught:
        confined.call(b"fail secret")
    assert "ValueError" in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfinedError):
        confined.call(b"exit")
    assert confined.call(b"echo again") == b"again"


def test_the_child_knows_no_secret(confined: Confined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENGTHWISE_MASTER_KEY", "secret")
    monkeypatch.setenv("ANOTHER_SECRET", "secret")
    assert confined.call(b"environment LENGTHWISE_MASTER_KEY") == b"none"
    assert confined.call(b"environment ANOTHER_SECRET") == b"none"


def test_a_caller_that_stops_in_the_middle_leaves_nothing_for_the_next(confined: Confined) -> None:
    begun = confined.stream(b"count 1000")
    assert next(begun) == b"0 "
    begun.close()  # type: ignore[attr-defined]
    assert confined.call(b"echo mine") == b"mine"


def test_no_more_children_run_than_allowed() -> None:
    confined = Confined("tests.unit.test_confined:act", _BUDGET, wait_seconds=0.2)
    begun = confined.stream(b"count 1000")
    next(begun)
    with pytest.raises(Unavailable):
        confined.call(b"echo second")
    begun.close()  # type: ignore[attr-defined]
    assert confined.call(b"echo third") == b"third"
    confined.close()


def test_threads_share_the_children() -> None:
    confined = Confined("tests.unit.test_confined:act", _BUDGET, processes=2)
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(confined.call(b"pid"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert len(set(answers)) <= 2
    confined.close()


def test_a_forked_process_uses_children_of_its_own(confined: Confined) -> None:
    mine = confined.call(b"pid")
    readable, writable = os.pipe()
    if not os.fork():
        os.write(writable, confined.call(b"pid"))
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as answer:
        assert answer.read() != mine
    os.wait()
    assert confined.call(b"pid") == mine
