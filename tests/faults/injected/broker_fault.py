"""Redis is killed, emptied, frozen, filled, cut off, made to repeat messages and filled with garbage.

Recovery is the time from Redis' return until every worker has begun a task and the API has answered 2xx. While Redis is
away, the API must keep acknowledging jobs.
"""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lengthwise import queue
from tests.faults.injected.bell import message
from tests.faults.injected.fault import InjectedFault
from tests.faults.proxy import Mode
from tests.faults.scene import Scene

#: Seconds after the broker's return in which everything must work again.
_BOUND = 15.0
_COPIES = 5
#: After this time kombu has dropped every connection that does not answer.
_LATE_SECONDS = 10.0


@contextmanager
def _acknowledging_meanwhile(scene: Scene, seconds: float) -> Iterator[None]:
    """Lasts ``seconds``. Notes a problem if the API answers no 2xx in that time."""
    began = time.monotonic()
    yield
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    if not scene.client.n_acknowledged_between(began, time.monotonic()):
        scene.problems.append("no 2xx while the broker was away")


def _restarted_empty(scene: Scene) -> float:
    with scene.stack.redis_down(), _acknowledging_meanwhile(scene, scene.random.uniform(2, 3)):
        pass
    return scene.until_consuming(time.monotonic())


def _flushed(scene: Scene) -> float:
    with scene.stack.broker() as client:
        for _ in range(scene.random.randint(1, 5)):
            client.flushall()
            time.sleep(scene.random.uniform(0, 0.2))
    return scene.until_consuming(time.monotonic())


def _frozen(scene: Scene) -> float:
    scene.stack.keeper.send("redis", signal.SIGSTOP)
    try:
        with _acknowledging_meanwhile(scene, scene.random.uniform(5, 6)):
            pass
    finally:
        scene.stack.keeper.send("redis", signal.SIGCONT)
    return scene.until_consuming(time.monotonic())


def _full(scene: Scene) -> float:
    with scene.stack.broker() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        try:
            with _acknowledging_meanwhile(scene, scene.random.uniform(2, 3)):
                pass
        finally:
            client.config_set("maxmemory", "0")
    return scene.until_consuming(time.monotonic())


def _half_open(scene: Scene) -> float:
    """A dead connection may be noticed late, and a worker could stop consuming then. So this looks twice."""
    recovery = _cut_off(scene, Mode.HALF_OPEN)
    time.sleep(_LATE_SECONDS)
    scene.until_consuming(time.monotonic())
    return recovery


def _stalled(scene: Scene) -> float:
    return _cut_off(scene, Mode.STALL)


def _cut_off(scene: Scene, mode: Mode) -> float:
    scene.stack.proxy.switch(mode)
    try:
        with _acknowledging_meanwhile(scene, scene.random.uniform(5, 6)):
            pass
    finally:
        scene.stack.proxy.switch(Mode.PASS)
    return scene.until_consuming(time.monotonic())


def _repeated(scene: Scene) -> float:
    """Sends every message five times, with the same delivery tag."""
    scene.stack.control.set("copies", _COPIES)
    try:
        for _ in range(3):
            scene.client.submit(scene.texts(60))
        time.sleep(scene.random.uniform(1, 2))
    finally:
        scene.stack.control.set("copies", 1)
    return scene.until_consuming(time.monotonic())


def _garbage(scene: Scene) -> float:
    with scene.stack.broker() as client:
        for name in (queue.GENERATE, queue.DELIVER):
            messages = _nonsense(name)
            scene.random.shuffle(messages)
            for message in messages:
                client.lpush(name, message)
                time.sleep(scene.random.uniform(0, 0.05))
    return scene.until_consuming(time.monotonic())


def _nonsense(name: str) -> list[bytes]:
    junk = [b"", b"\x00\xff\xfe junk", b"null", b"[]", b"{}", b'"text"', b"{" * 2000, b'{"body": 1}']
    messages = [
        message(name, task="no.such.task"),
        message(name, arguments=[["nested"], {"odd": 1}, "too", "many"]),
        message(name, arguments=["no-such-pool"]),
        message(name, arguments=[]),
        message(name, body="not base64 and not JSON"),
        message(name, body="W10="),
        message(name) | {"content-type": "application/x-python-serialize"},
        message(name) | {"content-type": "application/x-yaml"},
        message(name) | {"content-encoding": "no-such-encoding"},
        message(name, headers={}),
        message(name, properties={}),
    ]
    return junk + [json.dumps(message).encode() for message in messages]


FAULTS = (
    InjectedFault("Redis killed, restarted empty", _restarted_empty, _BOUND),
    InjectedFault("Redis FLUSHALL", _flushed, _BOUND),
    InjectedFault("Redis frozen", _frozen, _BOUND),
    InjectedFault("Redis full", _full, _BOUND),
    InjectedFault("broker half open", _half_open, _BOUND),
    InjectedFault("broker stalled", _stalled, _BOUND),
    InjectedFault("every message five times", _repeated, _BOUND),
    InjectedFault("garbage on the broker", _garbage, _BOUND),
)
