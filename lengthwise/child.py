"""One child process, in a process group of its own. Its output goes to a file, and it ends when this process ends.

Knows nothing of what the child does, and never restarts it.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Pause = Callable[[float], None]

#: Parts of the names of variables that hold a secret, or an address with one in it.
_SECRETS = frozenset(
    {"KEY", "PEPPER", "SECRET", "TOKEN", "PASSWORD", "CREDENTIALS", "URL", "DSN", "PROXY", "PGPASSWORD"}
)


def without_secrets(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for a program that needs no key and no address of a server, such as a compiler."""
    return {name: value for name, value in environment.items() if _SECRETS.isdisjoint(name.upper().split("_"))}


@dataclass(frozen=True)
class Account:
    """The OS user that a process runs as."""

    uid: int
    gid: int


def as_user(account: Account | None) -> dict[str, Any]:
    """Arguments for ``subprocess`` to run a command as this account; with None, as this process's own user."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


@dataclass(frozen=True)
class Program:
    """What to run. If this process dies, the kernel sends ``death_signal`` to the program."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    account: Account | None = None
    directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    pass_fds: Sequence[int] = ()


class Child:
    """A program that was started, or will be. Its output is appended to ``log``; without one it goes to ours."""

    def __init__(self, program: Program, log: Path | None = None) -> None:
        self.program = program
        self.name = program.name
        self.log = log
        self.started_at = 0.0
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the program. Returns before it is ready."""
        self.started_at = time.monotonic()
        if self.log is None:
            self._process = self._spawn(None)
            return
        with self.log.open("ab") as output:
            self._log_start = output.tell()
            self._process = self._spawn(output.fileno())

    def _spawn(self, output: int | None) -> subprocess.Popen[bytes]:
        program = self.program
        return subprocess.Popen(  # noqa: S603 - every command line is this package's own
            [*tied_to_this_process(program.death_signal), *program.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=program.environment,
            cwd=program.directory,
            process_group=0,  # Ctrl-C then reaches only the supervisor, which stops the children in order
            pass_fds=program.pass_fds,
            **as_user(program.account),
        )

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs. Kills processes that it left in its group."""
        if self._process is None or self._process.returncode is not None:
            return self._process.returncode if self._process else None
        # The group is killed before the child is reaped. Until then no other group can have its number.
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        _signal_group(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self.exit_code() is None

    def ask_to_stop(self) -> None:
        """Sends the program its stop signal, if it runs."""
        if self._process is not None and self.is_running:
            self._process.send_signal(self.program.stop_signal)

    def kill(self) -> None:
        """Kills the program and its group, if it runs, and waits until it has ended."""
        if self._process is not None and self.is_running:
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def output(self) -> str:
        """What the program has written since it was last started. Empty without a log."""
        if self.log is None:
            return ""
        with self.log.open("rb") as written:
            written.seek(self._log_start)
            return written.read().decode(errors="replace")

    def last_lines(self, count: int = 5) -> str:
        """The last lines that it wrote, indented, for a message about its end."""
        return "".join(f"\n  {line}" for line in self.output().splitlines()[-count:])


def stop(children: Iterable[Child], grace: float, is_hurried: Callable[[], bool] = lambda: False) -> None:
    """Asks all to stop, waits for ``grace`` seconds or until ``is_hurried``, then kills those that still run."""
    running = [child for child in children if child.is_running]
    for child in running:
        child.ask_to_stop()
    deadline = time.monotonic() + grace
    while any(child.is_running for child in running) and time.monotonic() < deadline and not is_hurried():
        time.sleep(0.02)
    for child in running:
        child.kill()


def tied_to_this_process(death_signal: signal.Signals) -> list[str]:
    """A command prefix with which the kernel signals the child when its parent dies. Empty if setpriv is missing.

    It is a program, because ``preexec_fn`` may deadlock if the parent has threads.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--"] if setpriv else []


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # it has ended, or all its members belong to another user
        return
