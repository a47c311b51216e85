"""How the harness and the processes it started speak to each other: small files in one folder.

A process asks here at each step whether it is to die; the harness arms a step and reads who died, when, and what it
held. Knows nothing of what the steps mean. Times are of the monotonic clock, which all processes of a machine share.
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

#: Environment variables of every process of a stack: the folder, and the process's own name.
FOLDER_VARIABLE = "FAULTS_CONTROL"
NAME_VARIABLE = "FAULTS_NAME"
#: More claims than a worker ever has in hand at once.
_N_TOKENS = 16


class Victim(StrEnum):
    """What is killed when an armed step is reached."""

    #: The process that reached it: a worker's engine, an API.
    SELF = "self"
    #: Its parent alone: a worker's engine is orphaned.
    PARENT = "parent"
    #: All of its process group: as when a container is killed.
    GROUP = "group"
    #: Nothing: the process that reached it stops there, until it is continued.
    STOPPED = "stopped"


@dataclass(frozen=True)
class Death:
    """Or a stop."""

    at: float
    name: str
    pid: int
    #: Of the process's last claims: it may hold one that it runs, one made ahead, and others that it settles.
    tokens: list[str]


class Control:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = os.environ.get(NAME_VARIABLE, "")
        self._reached: dict[str, int] = {}
        self._tokens: deque[str] = deque(maxlen=_N_TOKENS)

    # What the harness calls.

    def arm(self, step: str, victim: Victim, after: int = 0) -> None:
        """Whoever reaches ``step``, such as ``generate.claimed``, dies, but not the first ``after`` times."""
        (self._folder / f"{step}.fired").unlink(missing_ok=True)
        self._write(f"{step}.armed", {"id": time.monotonic_ns(), "victim": victim, "after": after})

    def disarm(self, step: str) -> None:
        (self._folder / f"{step}.armed").unlink(missing_ok=True)

    def death(self, step: str) -> Death | None:
        """The death at an armed step, once it has come about."""
        found = self._read(f"{step}.fired")
        return Death(**found) if found else None

    def set(self, flag: str, value: int) -> None:
        self._write(f"{flag}.flag", {"value": value})

    def tokens_of(self, name: str) -> list[str]:
        """The tokens of the claims that a worker took last."""
        found = self._read(f"{name}.claim")
        return found["tokens"] if found else []

    def pid_of(self, name: str) -> int | None:
        """The process that took this worker's last claim."""
        found = self._read(f"{name}.claim")
        return found["pid"] if found else None

    def began_at(self, name: str) -> float:
        """When this worker last began a task; 0 if never."""
        found = self._read(f"{name}.began")
        return float(found["at"]) if found else 0.0

    def count(self, what: str) -> int:
        """How many lines ``tally`` has written."""
        path = self._folder / f"{what}.tally"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    # What the processes call.

    def reach(self, step: str) -> None:
        """Dies here if this process's ``step`` is armed and its time has come."""
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
    """The control of the stack that this process belongs to."""
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
            # To this very thread: one that is for the process may be taken by another, and this one goes on meanwhile.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
