"""Communication between the harness and the processes that it started: small files in one folder.

At each step a process asks here whether it must die. The harness arms a step, and reads which process died, when, and
what it held. This module does not know what the steps mean. Times are from the monotonic clock, which all processes of
a machine share.
"""

import json
import os
import signal
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

#: Environment variables of every process of a stack: the folder, and the process's name.
FOLDER_VARIABLE = "FAULTS_CONTROL"
NAME_VARIABLE = "FAULTS_NAME"
#: More claims than a worker ever holds at once.
_N_TOKENS = 16


class Victim(StrEnum):
    """Which process is killed when an armed step is reached."""

    #: The process that reached the step: a worker's engine process, or an API.
    SELF = "self"
    #: Only its parent, so that a worker's engine process is orphaned.
    PARENT = "parent"
    #: Its whole process group, as when a container is killed.
    GROUP = "group"
    #: No process. The process that reached the step is stopped until it is continued.
    STOPPED = "stopped"


@dataclass(frozen=True)
class Death:
    """The death, or the stop, of a process at an armed step."""

    at: float
    name: str
    pid: int
    #: Tokens of its last claims. It may hold one that runs, one that is prepared, and others that are being settled.
    tokens: list[str]


class Control:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = os.environ.get(NAME_VARIABLE, "")
        self._reached: dict[str, int] = {}
        self._tokens: deque[str] = deque(maxlen=_N_TOKENS)

    # What the harness calls.

    def arm(self, step: str, victim: Victim, after: int = 0) -> None:
        """Makes the process that reaches ``step`` (such as ``generate.claimed``) die, after ``after`` passes."""
        (self._folder / f"{step}.fired").unlink(missing_ok=True)
        self._write(f"{step}.armed", {"id": time.monotonic_ns(), "victim": victim, "after": after})

    def disarm(self, step: str) -> None:
        (self._folder / f"{step}.armed").unlink(missing_ok=True)

    def death(self, step: str) -> Death | None:
        """Returns the death at an armed step, or None if it has not happened yet."""
        found = self._read(f"{step}.fired")
        return Death(**found) if found else None

    def set(self, flag: str, value: int) -> None:
        self._write(f"{flag}.flag", {"value": value})

    def tokens_of(self, name: str) -> list[str]:
        """Returns the tokens of a worker's last claims."""
        found = self._read(f"{name}.claim")
        return found["tokens"] if found else []

    def pid_of(self, name: str) -> int | None:
        """Returns the id of the process that took this worker's last claim."""
        found = self._read(f"{name}.claim")
        return found["pid"] if found else None

    def began_at(self, name: str) -> float:
        """Returns when this worker last began a task; 0 if never."""
        found = self._read(f"{name}.began")
        return float(found["at"]) if found else 0.0

    def count(self, what: str) -> int:
        """Returns how often ``tally`` was called."""
        path = self._folder / f"{what}.tally"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    # What the processes call.

    def reach(self, step: str) -> None:
        """Kills the victim if this process's ``step`` is armed and was passed often enough."""
        armed = f"{self._name.partition('-')[0]}.{step}"
        order = self._read(f"{armed}.armed")
        if order is None:
            return
        key = f"{armed} {order['id']}"
        self._reached[key] = self._reached.get(key, 0) + 1
        if self._reached[key] <= order["after"]:
            return
        try:
            (self._folder / f"{armed}.armed").unlink()
        except FileNotFoundError:  # another process took it
            return
        death = Death(time.monotonic(), self._name, os.getpid(), self.tokens_of(self._name))
        self._write(f"{armed}.fired", asdict(death))
        _kill(Victim(order["victim"]))

    def flag(self, flag: str, default: int) -> int:
        found = self._read(f"{flag}.flag")
        return int(found["value"]) if found else default

    def claimed(self, token: str) -> None:
        self._tokens.append(token)
        self._write(f"{self._name}.claim", {"tokens": list(self._tokens), "pid": os.getpid()})

    def began(self) -> None:
        self._write(f"{self._name}.began", {"at": time.monotonic()})

    def tally(self, what: str) -> None:
        with (self._folder / f"{what}.tally").open("a") as file:
            file.write("x\n")

    def _write(self, name: str, content: dict[str, Any]) -> None:
        unfinished = self._folder / f"{name}.{os.getpid()}.{time.monotonic_ns()}"
        unfinished.write_text(json.dumps(content))
        unfinished.rename(self._folder / name)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self._folder / name).read_bytes())
        except FileNotFoundError:
            return None
        return found


def of_environment() -> Control:
    """Returns the control of the stack to which this process belongs."""
    return Control(Path(os.environ[FOLDER_VARIABLE]))


def _kill(victim: Victim) -> None:
    match victim:
        case Victim.SELF:
            os.kill(os.getpid(), signal.SIGKILL)
        case Victim.PARENT:
            os.kill(os.getppid(), signal.SIGKILL)
        case Victim.GROUP:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        case Victim.STOPPED:
            # Signal this thread: another thread could handle a signal to the process, and this one would go on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
