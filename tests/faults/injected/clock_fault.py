"""The clocks of the delivery workers' host are an hour ahead, then an hour behind.

The receiver verifies every webhook with the Standard Webhooks library, which refuses stamps that are five minutes off.
Recovery is the longest time from a job's end to its first attempt, both by the database's clock.
"""

from tests.faults.client import AcknowledgedJob
from tests.faults.injected.fault import InjectedFault
from tests.faults.scene import Scene

_HOUR = 3_600
#: Seconds from a job's end in which its first webhook attempt must begin, with an allowance for two cores.
_BOUND = 2.0


def _off(scene: Scene) -> float:
    jobs: list[AcknowledgedJob] = []
    try:
        for seconds in (_HOUR, -_HOUR):
            scene.stack.control.set("clock", seconds)
            for _ in range(3):
                key = f"{scene.random.getrandbits(32):x}"
                job = scene.client.submit(scene.texts(3), webhook_url=scene.stack.receiver.url("good", key))
                assert job is not None
                jobs.append(job)
            scene.until(lambda: _states(scene, jobs) == {"delivered"}, f"webhooks of a clock off by {seconds} s", 20)
    finally:
        scene.stack.control.set("clock", 0)
    paths = {job.webhook_url.partition("/good/")[2] for job in jobs if job.webhook_url}
    refused = [
        hit for hit in scene.stack.receiver.hits if hit.path.removeprefix("/good/") in paths and not hit.is_genuine
    ]
    if refused:
        scene.problems.append(f"the receiver refused {len(refused)} webhooks of a worker whose clock is off")
    return scene.tables.longest_until_first_attempt([job.id for job in jobs])


def _states(scene: Scene, jobs: list[AcknowledgedJob]) -> set[str]:
    found = [state for _, _, state, _ in scene.tables.deliveries([job.id for job in jobs])]
    return set(found) if len(found) == len(jobs) else set()


FAULTS = (InjectedFault("clock off by an hour", _off, _BOUND, interrupts=False),)
