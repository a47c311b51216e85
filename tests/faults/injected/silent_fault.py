"""Postgres is silent: its processes are stopped, a table is locked, or its packets are lost.

Recovery is the time from its return until the next settlement and the API's next 2xx. Meanwhile several callers ask at
the same time. Each must be answered within the promised time: by ``/healthz`` as always, and otherwise 2xx or 503.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
from sqlalchemy.engine import make_url

from tests.caller import bearer
from tests.faults.injected.fault import InjectedFault
from tests.faults.injected.route_fault import connect_all
from tests.faults.proxy import Mode, Proxy
from tests.faults.scene import Scene

#: Seconds after Postgres' return in which everything must work again.
_BOUND = 10.0
#: Seconds in which each caller must have an answer.
_ANSWER_SECONDS = {"/healthz": 2.0, "/readyz": 3.0, "/v1/jobs": 5.0}
_CALLERS = 12
#: How long Postgres is silent: longer than any caller may wait.
_SECONDS = (6.0, 8.0)


def _stopped(scene: Scene) -> float:
    """Stops every process of Postgres. Their sockets stay open, and the kernel acknowledges what is sent to them."""
    keeper, server = scene.stack.keeper, scene.stack.keeper.pid_of("postgres")
    keeper.send_process(server, signal.SIGSTOP)  # first, so that it starts no other process
    stopped = [server, *_children(server)]
    for pid in stopped[1:]:
        keeper.send_process(pid, signal.SIGSTOP)
    try:
        with _nobody_waits(scene):
            time.sleep(scene.random.uniform(*_SECONDS))
    finally:
        for pid in stopped:
            keeper.send_process(pid, signal.SIGCONT)
    return scene.until_settling(time.monotonic())


def _children(parent: int) -> list[int]:
    """All of them. The kernel's own list of children may lack some while others end."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(folder.name))
    return found


def _locked(scene: Scene) -> float:
    """An operator changes the table that every step needs, and does not end the transaction."""
    with psycopg.connect(scene.stack.database_url, application_name="operator") as operator:
        operator.execute("LOCK TABLE shards IN ACCESS EXCLUSIVE MODE")
        with _nobody_waits(scene):
            time.sleep(scene.random.uniform(*_SECONDS))
        operator.rollback()
    return scene.until_settling(time.monotonic())


def _lost(scene: Scene) -> float:
    """Loses every packet between Postgres and all processes. Connections of that time stay silent for ever."""
    url = make_url(scene.stack.database_url)
    with Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432") as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port, query={})
        connect_all(scene, through.render_as_string(hide_password=False))
        proxy.switch(Mode.HALF_OPEN)
        try:
            with _nobody_waits(scene):
                time.sleep(scene.random.uniform(*_SECONDS))
        finally:
            proxy.switch(Mode.PASS)
        recovery = scene.until_settling(time.monotonic())
        connect_all(scene, scene.stack.database_url)
    return recovery


@contextmanager
def _nobody_waits(scene: Scene) -> Iterator[None]:
    """Asks from several threads while the context is open. Notes a problem if an answer is late or wrong."""
    over, statuses = threading.Event(), set[int]()

    def ask() -> None:
        with httpx.Client(base_url=scene.stack.url, headers=bearer(), timeout=60) as caller:
            while not over.wait(0.2):
                for path, seconds in _ANSWER_SECONDS.items():
                    began = time.monotonic()
                    answer = caller.get(path)
                    took = time.monotonic() - began
                    statuses.add(answer.status_code)
                    if took > seconds:
                        scene.problems.append(f"{path} answered {answer.status_code} after {took:.1f} s")
                    if answer.status_code not in ((200,) if path == "/healthz" else (200, 202, 503)):
                        scene.problems.append(f"{path} answered {answer.status_code}")
                    if answer.status_code == 503 and not answer.headers.get("retry-after", "").isdigit():
                        scene.problems.append(f"{path} answered 503 without Retry-After")

    callers = [threading.Thread(target=ask, name="caller", daemon=True) for _ in range(_CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        over.set()
        for caller in callers:
            caller.join()
    if 503 not in statuses:
        scene.problems.append("no 503 while Postgres was silent: the fault had no effect")


FAULTS = (
    InjectedFault("Postgres silent: stopped", _stopped, _BOUND),
    InjectedFault("Postgres silent: table locked", _locked, _BOUND),
    InjectedFault("Postgres silent: packets lost", _lost, _BOUND, ends=True),
)
