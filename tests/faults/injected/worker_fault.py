"""Workers are killed, frozen, asked to stop, and replaced.

After a death, recovery is the time until every shard of the dead worker is settled or held by a live one. After a
request to stop, it is the time until the worker has ended and holds no shards.
"""

import signal
import time
from functools import partial

from tests.faults.control import Death, Victim
from tests.faults.injected.fault import LEASE_BOUND, InjectedFault
from tests.faults.scene import Scene
from tests.faults.stack import GRACE_SECONDS, LEASE_SECONDS, WEBHOOK_SECONDS, WORKERS

#: The steps from claim to acknowledgement, and what can be killed there.
_STEPS = {
    "claimed": (Victim.SELF, Victim.PARENT, Victim.GROUP),
    "generating": (Victim.SELF, Victim.PARENT, Victim.GROUP),
    "halfway": (Victim.SELF, Victim.GROUP),
    "generated": (Victim.SELF, Victim.GROUP),
    "settled": (Victim.SELF, Victim.GROUP),
    "committed": (Victim.SELF, Victim.PARENT, Victim.GROUP),
    "ringing": (Victim.SELF, Victim.GROUP),
    "run": (Victim.SELF, Victim.GROUP),
    "acknowledged": (Victim.SELF, Victim.GROUP),
}
#: Steps that occur many times per second: a few are passed before the kill.
_FREQUENT = ("claimed", "generating", "halfway", "generated", "settled", "committed")
_STOP_BOUND = GRACE_SECONDS + 2
#: A delivery's claim expires after two time-outs.
_DELIVER_BOUND = 2 * WEBHOOK_SECONDS + 2


def _killed(scene: Scene, step: str) -> float:
    after = scene.random.randint(0, 4) if step in _FREQUENT else 0
    death = _reached(scene, f"generate.{step}", _victim(scene, step), after)
    return scene.until_taken_over(death.tokens, death.at) if death else 0.0


def _victim(scene: Scene, step: str) -> Victim:
    """Half of the time only the engine's process dies: Celery's pool replaces it, and no other process restarts."""
    first, *others = _STEPS[step]
    return first if scene.random.random() < 0.5 else scene.random.choice(others)


def _frozen(scene: Scene) -> float:
    """Freezes a worker beyond its lease. When it continues, its settlements are refused."""
    name = scene.until_holding()
    tokens, pid = scene.stack.control.tokens_of(name), scene.stack.control.pid_of(name)
    whole = scene.random.random() < 0.5
    stopped_at = time.monotonic()
    _send(scene, name, None if whole else pid, signal.SIGSTOP)
    try:
        recovery = scene.until_taken_over(tokens, stopped_at)
        time.sleep(max(0.0, LEASE_SECONDS + 1 - (time.monotonic() - stopped_at)))
    finally:
        _send(scene, name, None if whole else pid, signal.SIGCONT)
    scene.until_consuming(time.monotonic())
    return recovery


def _frozen_until_the_end(scene: Scene) -> float:
    """Freezes a worker with its parent. The second one does all work, and what it held too, before it comes back."""
    name = scene.until_holding()
    tokens, stopped_at = scene.stack.control.tokens_of(name), time.monotonic()
    scene.stack.keeper.send_group(name, signal.SIGSTOP)
    try:
        recovery = scene.until_taken_over(tokens, stopped_at)
        jobs = {job.id for job in scene.jobs}
        scene.until(lambda: not jobs & set(scene.tables.open_jobs()), "the second worker ends all jobs")
        scene.until(lambda: _is_lost(scene, name), f"{name} is listed as lost")
    finally:
        scene.stack.keeper.send_group(name, signal.SIGCONT)
    scene.until_consuming(time.monotonic())
    return recovery


def _is_lost(scene: Scene, name: str) -> bool:
    """Whether the API lists a worker of this name, and none that is alive. Its names end in a process id."""
    listed = scene.client.get("/v1/workers").json()["data"]
    return {each["state"] == "lost" for each in listed if each["name"].rpartition("-")[0] == name} == {True}


def _send(scene: Scene, name: str, child: int | None, number: signal.Signals) -> None:
    if child is None:
        scene.stack.keeper.send_group(name, number)
    else:
        scene.stack.keeper.send_process(child, number)


def _zombie(scene: Scene) -> float:
    """Stops a worker before it settles its results. When it continues, others have done its work."""
    control = scene.stack.control
    n_refused = control.count("refused")
    stopped = _reached(scene, "generate.generated", Victim.STOPPED, scene.random.randint(0, 4))
    if stopped is None:
        return 0.0
    recovery = scene.until_taken_over(stopped.tokens, stopped.at)
    time.sleep(max(0.0, LEASE_SECONDS + 1 - (time.monotonic() - stopped.at)))
    scene.stack.keeper.send_process(stopped.pid, signal.SIGCONT)
    scene.until(lambda: control.count("refused") > n_refused, "what a zombie settles is refused")
    return recovery


def _frozen_with_locks(scene: Scene) -> float:
    """Stops a worker inside its settlement's transaction. Others wait for its locks or skip the locked rows."""
    stopped = _reached(scene, "generate.settled", Victim.STOPPED, scene.random.randint(0, 4))
    if stopped is None:
        return 0.0
    try:
        recovery = scene.until_taken_over(stopped.tokens, stopped.at)
    finally:
        scene.stack.keeper.send_process(stopped.pid, signal.SIGCONT)
    scene.until_consuming(time.monotonic())
    return recovery


def _reached(scene: Scene, step: str, victim: Victim, after: int = 0) -> Death | None:
    """Arms a step and waits until a process has died, or stopped, there."""
    scene.stack.control.arm(step, victim, after)
    scene.until(lambda: scene.stack.control.death(step) is not None, f"a process reaches {step}")
    scene.stack.control.disarm(step)
    return scene.stack.control.death(step)


def _asked_once(scene: Scene) -> float:
    name = scene.until_holding()
    asked_at, pid = time.monotonic(), scene.stack.keeper.pid_of(name)
    scene.stack.keeper.send(name, signal.SIGTERM)
    recovery = scene.until(lambda: scene.stack.keeper.has_gone(name, pid), f"{name} ends", GRACE_SECONDS + 20)
    if scene.tables.n_held(scene.stack.control.tokens_of(name)):
        scene.problems.append("a worker that got SIGTERM still holds shards")
    return max(recovery, time.monotonic() - asked_at)


def _asked_twice(scene: Scene) -> float:
    """The second SIGTERM may end the worker at once. Then its shards are taken over like a dead worker's."""
    name = scene.until_holding()
    asked_at, pid = time.monotonic(), scene.stack.keeper.pid_of(name)
    scene.stack.keeper.send(name, signal.SIGTERM)
    time.sleep(scene.random.uniform(0.02, 0.5))
    scene.stack.keeper.send(name, signal.SIGTERM)
    tokens = scene.stack.control.tokens_of(name)
    took = scene.until(lambda: scene.stack.keeper.has_gone(name, pid), f"{name} ends", GRACE_SECONDS + 20)
    if took > _STOP_BOUND * scene.stack.allowance.bound:
        scene.problems.append(f"a worker that got SIGTERM twice took {took:.1f} s to end")
    return scene.until_taken_over(tokens, asked_at)


def _replaced(scene: Scene) -> float:
    """Replaces one worker after the other under load. Returns the longest time that one took to end."""
    longest = 0.0
    for name in WORKERS:
        pid = scene.stack.keeper.pid_of(name)
        scene.stack.keeper.send(name, signal.SIGTERM)
        took = scene.until(lambda name=name, pid=pid: scene.stack.keeper.has_gone(name, pid), f"{name} ends")  # type: ignore[misc]
        longest = max(longest, took)
        scene.stack.wait_ready(name)
    return longest


def _deliverer_killed(scene: Scene, step: str) -> float:
    """Kills a worker after it claimed a delivery. The delivery is tried again once its claim has expired."""
    death = _reached(scene, f"deliver.{step}", Victim.SELF)
    died_at = death.at if death else time.monotonic()
    waiting = scene.tables.deliveries_in_hand()
    scene.until(lambda: scene.tables.n_attempted(waiting) == len(waiting), "its deliveries are tried again")
    return time.monotonic() - died_at


FAULTS = (
    *(
        InjectedFault(f"kill -9 generate, {step}", partial(_killed, step=step), LEASE_BOUND, ends=True)
        for step in _STEPS
    ),
    InjectedFault("SIGSTOP beyond the lease, SIGCONT", _frozen, LEASE_BOUND),
    InjectedFault("a frozen worker beside a second one", _frozen_until_the_end, LEASE_BOUND),
    InjectedFault("zombie: stopped before it settles", _zombie, LEASE_BOUND),
    InjectedFault("SIGSTOP in a transaction", _frozen_with_locks, LEASE_BOUND),
    InjectedFault("SIGTERM", _asked_once, _STOP_BOUND, ends=True),
    InjectedFault("SIGTERM twice", _asked_twice, LEASE_BOUND, ends=True),
    InjectedFault("rolling restart of workers", _replaced, _STOP_BOUND, ends=True),
    InjectedFault("kill -9 deliver, claimed", partial(_deliverer_killed, step="claimed"), _DELIVER_BOUND, ends=True),
    InjectedFault("kill -9 deliver, posted", partial(_deliverer_killed, step="posted"), _DELIVER_BOUND, ends=True),
)
