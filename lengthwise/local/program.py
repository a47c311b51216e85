"""The command lines of this system's own processes, and how to tell from outside that one is ready."""

import http.client
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from lengthwise.child import Child, Program

#: The same as in ``lengthwise.queue``. Importing that would import Celery, which takes most of a short command's time.
GENERATE = "generate"
DELIVER = "deliver"

#: Turns off what is not used. It would cost a second at the start, and messages on the broker.
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
#: Generation needs one process, which holds the engine. Deliveries mostly wait for sockets, so threads suffice.
_POOLS = {
    GENERATE: ("--pool", "prefork", "--concurrency", "1"),
    DELIVER: ("--pool", "threads", "--concurrency", "8"),
}
QUEUES = tuple(_POOLS)
#: The variable that says where a worker runs models whose own setting names no device.
DEVICE_VARIABLE = "LENGTHWISE_DEVICE"
#: The variable that says on which port a process serves its metrics.
_METRICS_PORT = "LENGTHWISE_METRICS_PORT"
#: What a worker's log says once it takes tasks, and once its first models are loaded. ``worker_is_ready`` waits for
#: these words, which are the same in both forms of a log and are written at every level.
TAKES_TASKS = "this worker takes tasks"
MODELS_LOADED = "models are loaded"


def celery_arguments(queue: str, name: str) -> list[str]:
    """Celery's arguments for the worker of one queue. ``name`` must be unique on this host."""
    return [
        "--quiet",  # no banner between the lines of the log
        "worker",
        "--queues",
        queue,
        *_POOLS[queue],
        *_QUIET,
        "--hostname",
        f"{name}@%h",
    ]


def _python(*arguments: str) -> list[str]:
    # -P keeps Python from importing a folder ``worker`` or ``api`` in the user's current directory.
    return [sys.executable, "-P", "-m", "lengthwise", *arguments]


def api(host: str, port: int, environment: Mapping[str, str]) -> Program:
    """The API server."""
    return Program(
        "api",
        _python("api", "--host", host, "--port", str(port)),
        environment={**environment, "PYTHONUNBUFFERED": "1"},
        death_signal=signal.SIGKILL,
    )


def worker(queue: str, number: int, environment: Mapping[str, str]) -> Program:
    """The worker of one queue. If this process dies, the worker is killed, and its leases expire.

    A signal that Celery handles would not do: it waits for the broker, which may have ended as well.
    """
    name = f"{queue}-{number}"
    return Program(
        name,
        _python("worker", "--queues", queue, "--name", f"{name}-{os.getpid()}"),
        environment={**environment, "PYTHONUNBUFFERED": "1"},
        death_signal=signal.SIGKILL,
    )


def workers(queues: Sequence[str], devices: Sequence[str], environment: Mapping[str, str]) -> list[Program]:
    """One worker for each queue. If devices are given, one generation worker for each of them."""
    found: list[Program] = []
    for queue in queues:
        places = [{DEVICE_VARIABLE: device} for device in devices] if queue == GENERATE and devices else [{}]
        for number, place in enumerate(places, 1):
            own = with_metrics_port({**environment, **place}, len(found))
            found.append(worker(queue, number, own))
    return found


def with_metrics_port(environment: Mapping[str, str], number: int) -> dict[str, str]:
    """The environment of a process that is the ``number``-th, from 0, of those that one command starts."""
    first = int(environment.get(_METRICS_PORT) or 0)
    return {**environment, _METRICS_PORT: str(first + number)} if first else dict(environment)


def metrics_port(started: Program) -> int:
    """The port on which it serves its metrics; 0 is none."""
    return int((started.environment or {}).get(_METRICS_PORT) or 0)


def worker_is_ready(child: Child) -> Callable[[], bool]:
    """A check whether a worker takes tasks and has loaded its models. It reads what the worker logs at every level.

    A ping through the broker would take a second, and would say nothing of models.
    """
    wanted = [TAKES_TASKS, MODELS_LOADED] if child.name.startswith(GENERATE) else [TAKES_TASKS]

    def looked() -> bool:
        output = child.output()
        return all(words in output for words in wanted)

    return looked


def api_is_ready(host: str, port: int) -> Callable[[], bool]:
    """A check whether ``/readyz`` answers 200."""

    def answers() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return answers
