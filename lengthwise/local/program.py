"""The command lines of this system's own processes, and how to see from outside that one is ready."""

import http.client
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from lengthwise.child import Child, Program

#: As in ``lengthwise.queue``, whose import is Celery's: most of the start of a short command.
GENERATE = "generate"
DELIVER = "deliver"

#: None of these is used: they cost a start-up second and chatter on the broker.
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
#: Generation: one process with the engine. Deliveries wait for sockets: threads will do.
_POOLS = {
    GENERATE: ("--pool", "prefork", "--concurrency", "1"),
    DELIVER: ("--pool", "threads", "--concurrency", "8"),
}
QUEUES = tuple(_POOLS)
#: Where a worker runs models that name no device of their own.
DEVICE_VARIABLE = "LENGTHWISE_DEVICE"
#: What ``worker.generation.preload`` logs last, and ``worker_is_ready`` waits for.
MODELS_LOADED = "models are loaded"


def celery_arguments(queue: str, name: str, loglevel: str) -> list[str]:
    """Celery's own arguments for the worker of one queue, whose ``name`` is unique on this host."""
    return [
        "worker",
        "--queues",
        queue,
        *_POOLS[queue],
        *_QUIET,
        "--hostname",
        f"{name}@%h",
        "--loglevel",
        loglevel,
    ]


def _python(*arguments: str) -> list[str]:
    # -P: a folder named ``worker`` or ``api`` where the user happens to stand is not ours.
    return [sys.executable, "-P", "-m", "lengthwise", *arguments]


def api(host: str, port: int, environment: Mapping[str, str]) -> Program:
    return Program(
        "api",
        _python("api", "--host", host, "--port", str(port)),
        environment={**environment, "PYTHONUNBUFFERED": "1"},
        death_signal=signal.SIGKILL,
    )


def worker(queue: str, number: int, environment: Mapping[str, str], loglevel: str = "INFO") -> Program:
    """The worker of one queue. SIGQUIT is Celery's cold shutdown: leases hand on what it held."""
    name = f"{queue}-{number}"
    return Program(
        name,
        _python("worker", "--queues", queue, "--name", _node(name), "--loglevel", loglevel),
        environment={**environment, "PYTHONUNBUFFERED": "1"},
        death_signal=signal.SIGQUIT,
    )


def workers(
    queues: Sequence[str], devices: Sequence[str], environment: Mapping[str, str], loglevel: str = "INFO"
) -> list[Program]:
    """A worker for each queue; of generation one for each device, where devices are given."""
    found = []
    for queue in queues:
        places = [{DEVICE_VARIABLE: device} for device in devices] if queue == GENERATE and devices else [{}]
        for number, place in enumerate(places, 1):
            found.append(worker(queue, number, {**environment, **place}, loglevel))
    return found


def _node(name: str) -> str:
    return f"{name}-{os.getpid()}"


def worker_is_ready(child: Child) -> Callable[[], bool]:
    """Looks for the lines in the log, at level INFO, that say that it takes tasks and that its models are loaded.

    A ping through the broker takes a second, and knows nothing of models.
    """
    takes_tasks = re.compile(rf"{re.escape(_node(child.name))}@\S+ ready\.")
    loads_models = child.name.startswith(GENERATE)

    def looked() -> bool:
        output = child.output()
        return takes_tasks.search(output) is not None and (MODELS_LOADED in output or not loads_models)

    return looked


def api_is_ready(host: str, port: int) -> Callable[[], bool]:
    """Whether ``/readyz`` answers 200."""

    def asked() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return asked
