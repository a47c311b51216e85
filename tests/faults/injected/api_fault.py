"""The API dies between a job's commit and its bell. The client gets no answer, but the job still runs.

Recovery is the time from the death until the unacknowledged job has ended. A worker that is already draining the pool
finds the job, or else the sweep does.
"""

import time

from tests.faults.control import Victim
from tests.faults.injected.fault import LEASE_BOUND, InjectedFault
from tests.faults.scene import Scene

_STEP = "api.ringing"


def _killed(scene: Scene) -> float:
    scene.stack.control.arm(_STEP, Victim.SELF, scene.random.randint(0, 2))
    scene.until(lambda: scene.stack.control.death(_STEP) is not None, "the API dies")
    scene.stack.control.disarm(_STEP)
    death = scene.stack.control.death(_STEP)
    died_at = death.at if death else time.monotonic()
    stored = scene.tables.all_jobs()
    orphans = stored - {job.id for job in scene.client.jobs}
    if not orphans:
        scene.problems.append("the job without a bell is not stored")
    scene.until(lambda: not orphans & scene.tables.open_jobs(), "the unacknowledged job ends")
    recovery = time.monotonic() - died_at
    scene.until_acknowledged(died_at)
    return recovery


FAULTS = (InjectedFault("API killed between commit and enqueue", _killed, LEASE_BOUND, ends=True),)
