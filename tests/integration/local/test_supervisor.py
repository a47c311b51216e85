"""Child processes and their supervisor, tested with small shell commands."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lengthwise.child import Child, Program
from lengthwise.errors import ConfigurationError
from lengthwise.local.supervisor import StopRequested, Supervisor
from tests.servers import processes_mentioning, wait_until

Run = Callable[[str], Child]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Starts shell scripts. Their name in ``ps`` is the test's folder."""

    def started(script: str) -> Child:
        child = Child(Program("script", ["sh", "-c", script, str(tmp_path)]), tmp_path / "script.log")
        child.start()
        return child

    return started


def _ignore(line: str) -> None:
    """Ignores the message."""


def test_processes_that_a_dead_child_left_are_killed(run: Run, tmp_path: Path) -> None:
    child = run(f'sh -c "sleep 60; : {tmp_path}" & exit 3')
    wait_until(lambda: child.exit_code() is not None)
    assert child.exit_code() == 3
    wait_until(lambda: not processes_mentioning(str(tmp_path)))


def test_a_child_that_ignores_sigterm_is_killed_when_its_grace_is_over(run: Run) -> None:
    child = run('trap "" TERM; echo on; while true; do sleep 0.1; done')
    wait_until(lambda: child.output() == "on\n")
    with Supervisor(_ignore) as supervisor:
        supervisor.stop([child], grace=0.3)
    assert child.exit_code() == -signal.SIGKILL


def test_a_second_signal_shortens_the_grace(run: Run) -> None:
    child = run('trap "" TERM; echo on; while true; do sleep 0.1; done')
    wait_until(lambda: child.output() == "on\n")
    with Supervisor(_ignore) as supervisor:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        supervisor.stop([child], grace=60)
    assert child.exit_code() == -signal.SIGKILL


def test_a_signal_ends_a_wait_for_something_that_is_not_ready(run: Run) -> None:
    child = run("sleep 60")
    with Supervisor(_ignore) as supervisor:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StopRequested):
            supervisor.wait_ready(child, lambda: False)
        supervisor.stop([child], grace=5)


def test_the_error_for_a_child_that_dies_early_has_its_last_output(run: Run) -> None:
    child = run("echo no such model; exit 2")
    with Supervisor(_ignore) as supervisor, pytest.raises(ConfigurationError, match=r"code 2.*\n  no such model"):
        supervisor.wait_ready(child, lambda: False)


def test_a_child_that_dies_is_started_again(run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    child = run(f"echo started >> {tmp_path}/starts; test $(wc -l < {tmp_path}/starts) = 1 || kill -TERM {os.getpid()}")
    with Supervisor(said.append) as supervisor:
        supervisor.watch([child])
        supervisor.run()
        supervisor.stop([child], grace=5)
    assert (tmp_path / "starts").read_text() == "started\nstarted\n"
    assert said[0].startswith("script ended with code 0; restart in 1 s")


_STARTS_A_CHILD = """
import os, signal, sys
from pathlib import Path
from lengthwise.child import Child, Program
child = Child(Program("child", ["sh", "-c", "echo on; sleep 60", sys.argv[1]]), Path(sys.argv[1]) / "child.log")
child.start()
while not child.output():
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_children_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    parent = Child(Program("parent", [sys.executable, "-c", _STARTS_A_CHILD, str(tmp_path)]), tmp_path / "log")
    parent.start()
    wait_until(lambda: parent.exit_code() is not None)
    assert parent.exit_code() == -signal.SIGKILL, parent.output()
    wait_until(lambda: not processes_mentioning(str(tmp_path)))
