"""The API dies between a job's commit and its bell: the client is told nothing, and the job runs all the same.

Recovery is the time from the death until the job that nobody acknowledged has ended: the sweep finds it, and where the
workers are at it already, they do.
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
        scene.problems.append("the job whose bell was not rung is not stored")
    scene.until(lambda: not orphans & scene.tables.open_jobs(), "the job that nobody acknowledged ends")
    recovery = time.monotonic() - died_at
    scene.until_acknowledged(died_at)
    return recovery


FAULTS = (InjectedFault("API killed between commit and enqueue", _killed, LEASE_BOUND, ends=True),)
