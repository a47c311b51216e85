"""Hostile webhook receivers, all at the same time. Most misbehave at the first attempt and accept the second.

A hostile receiver's recovery is the time from the injection until its delivery has the expected state. The recovery of
the whole fault is the longest time from any job's end to its first attempt, at a hostile receiver or a good one.
"""

import time
from collections.abc import Sequence
from typing import Any

from tests.faults.client import AcknowledgedJob
from tests.faults.injected.fault import InjectedFault
from tests.faults.receiver import RETRY_AFTER_SECONDS
from tests.faults.scene import Scene

#: Seconds from a job's end in which its first webhook attempt must begin, with an allowance for two cores.
_BOUND = 2.0
#: For each behaviour: status and error of the first attempt, and the delivery's state at the end.
_EXPECTED: dict[str, tuple[int | None, str | None, str]] = {
    "refuse": (None, "connect_refused", "delivered"),
    "reset": (None, "reset", "delivered"),
    "drip": (None, "timeout", "delivered"),
    "flood": (500, None, "delivered"),
    "redirect": (302, "redirect", "delivered"),
    "busy": (429, None, "delivered"),
    "gone": (410, None, "failed"),
    "tls": (None, "tls", "pending"),
}
ROWS = tuple(f"receiver: {behaviour}" for behaviour in _EXPECTED)


def _hostile(scene: Scene) -> float:
    began = time.monotonic()
    key = f"{scene.random.getrandbits(32):x}"
    jobs: dict[str, AcknowledgedJob] = {}
    for behaviour in _EXPECTED:
        job = scene.client.submit(scene.texts(5), webhook_url=scene.stack.receiver.url(behaviour, key))
        assert job is not None
        jobs[behaviour] = job
    for behaviour, job in jobs.items():
        scene.until(lambda job=job: len(_attempts(scene, job)) > 0, f"{behaviour}: a first attempt")  # type: ignore[misc]
        if behaviour == "refuse":  # now: others' first attempts take seconds, and then its second one would fail too
            scene.stack.receiver.open_refusing()
    for behaviour, job in jobs.items():
        _judge(scene, behaviour, job)
        scene.recoveries[f"receiver: {behaviour}"] = time.monotonic() - began
    if any(hit.path.endswith("/redirected") for hit in scene.stack.receiver.hits):
        scene.problems.append("redirect: the redirect was followed")
    return scene.tables.longest_until_first_attempt([job.id for job in scene.jobs])


def _judge(scene: Scene, behaviour: str, job: AcknowledgedJob) -> None:
    status, error, state = _EXPECTED[behaviour]
    scene.until(
        lambda: {state for _, _, state, _ in scene.tables.deliveries([job.id])} == {state}, f"{behaviour}: {state}", 20
    )
    attempts = _attempts(scene, job)
    first = (attempts[0]["status"], attempts[0]["error"]) if attempts else None
    if first != (status, error):
        scene.problems.append(f"{behaviour}: the first attempt is recorded as {first}")
    if state != "pending" and len(attempts) != (2 if state == "delivered" else 1):
        scene.problems.append(f"{behaviour}: {len(attempts)} attempts")
    if behaviour == "busy" and len(attempts) > 1 and _apart(scene, job) < RETRY_AFTER_SECONDS:
        scene.problems.append("busy: the second attempt came before its Retry-After")


def _attempts(scene: Scene, job: AcknowledgedJob) -> Sequence[dict[str, Any]]:
    deliveries = scene.client.get(f"/v1/jobs/{job.id}/deliveries").json()["data"]
    return deliveries[0]["attempts"] if deliveries else []


def _apart(scene: Scene, job: AcknowledgedJob) -> float:
    """Returns the seconds between the receiver's first two requests."""
    assert job.webhook_url is not None
    times = [hit.at for hit in scene.stack.receiver.hits if job.webhook_url.endswith(hit.path)]
    return times[1] - times[0]


FAULTS = (InjectedFault("hostile receivers", _hostile, _BOUND, interrupts=False),)
