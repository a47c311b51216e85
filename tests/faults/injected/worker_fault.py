"""Workers die, freeze, are asked to stop, and are replaced.

Recovery after a death is the time until every shard that the dead worker held is settled or held by a live one; after
a request to stop, the time until it has gone, and what it held with it.
"""

import signal
import time
from functools import partial

from tests.faults.control import Death, Victim
from tests.faults.injected.fault import LEASE_BOUND, InjectedFault
from tests.faults.scene import Scene
from tests.faults.stack import GRACE_SECONDS, LEASE_SECONDS, WEBHOOK_SECONDS, WORKERS

#: From claim to acknowledge, and who can die there. The last two are reached by Celery's own process.
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
#: Of steps that are reached many times a second, some are passed first.
_FREQUENT = ("claimed", "generating", "halfway", "generated", "settled", "committed")
_STOP_BOUND = GRACE_SECONDS + 2
#: A delivery is given up for dead after two time-outs.
_DELIVER_BOUND = 2 * WEBHOOK_SECONDS + 2


def _killed(scene: Scene, step: str) -> float:
    after = scene.random.randint(0, 4) if step in _FREQUENT else 0
    death = _reached(scene, f"generate.{step}", _victim(scene, step), after)
    return scene.until_taken_over(death.tokens, death.at) if death else 0.0


def _victim(scene: Scene, step: str) -> Victim:
    """The engine's process alone every other time: the pool replaces it, and nothing has to start from scratch."""
    first, *others = _STEPS[step]
    return first if scene.random.random() < 0.5 else scene.random.choice(others)


def _frozen(scene: Scene) -> float:
    """Beyond its lease; then it comes back, and what it settles is refused."""
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


def _send(scene: Scene, name: str, child: int | None, number: signal.Signals) -> None:
    if child is None:
        scene.stack.keeper.send_group(name, number)
    else:
        scene.stack.keeper.send_process(child, number)


def _zombie(scene: Scene) -> float:
    """Stopped with its results in hand, before it settles them: when it comes back, others have done its work."""
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
    """Stopped in its settlement's transaction: others wait for what it locked, or pass it over."""
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
    """Waits until a process has died, or stopped, at this step."""
    scene.stack.control.arm(step, victim, after)
    scene.until(lambda: scene.stack.control.death(step) is not None, f"a process reaches {step}")
    scene.stack.control.disarm(step)
    return scene.stack.control.death(step)


def _asked_once(scene: Scene) -> float:
    name = scene.until_holding()
    asked_at, pid = time.monotonic(), scene.stack.keeper.pid_of(name)
    scene.stack.keeper.send(name, signal.SIGTERM)
    recovery = scene.until(lambda: scene.stack.keeper.has_gone(name, pid), f"{name} goes", GRACE_SECONDS + 20)
    if scene.tables.n_held(scene.stack.control.tokens_of(name)):
        scene.problems.append("a worker that was asked to stop kept shards")
    return max(recovery, time.monotonic() - asked_at)


def _asked_twice(scene: Scene) -> float:
    """The second SIGTERM may cut it short: its shards are then taken over as a dead worker's are."""
    name = scene.until_holding()
    asked_at, pid = time.monotonic(), scene.stack.keeper.pid_of(name)
    scene.stack.keeper.send(name, signal.SIGTERM)
    time.sleep(scene.random.uniform(0.02, 0.5))
    scene.stack.keeper.send(name, signal.SIGTERM)
    tokens = scene.stack.control.tokens_of(name)
    took = scene.until(lambda: scene.stack.keeper.has_gone(name, pid), f"{name} goes", GRACE_SECONDS + 20)
    if took > _STOP_BOUND:
        scene.problems.append(f"a worker that was asked twice took {took:.1f} s to go")
    return scene.until_taken_over(tokens, asked_at)


def _replaced(scene: Scene) -> float:
    """Every worker after the other, under load; the longest that one took to go."""
    longest = 0.0
    for name in WORKERS:
        pid = scene.stack.keeper.pid_of(name)
        scene.stack.keeper.send(name, signal.SIGTERM)
        took = scene.until(lambda name=name, pid=pid: scene.stack.keeper.has_gone(name, pid), f"{name} goes")  # type: ignore[misc]
        longest = max(longest, took)
        scene.stack.wait_ready(name)
    return longest


def _deliverer_killed(scene: Scene, step: str) -> float:
    """Between claiming a delivery and writing its attempt: it is tried again once it is given up for dead."""
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
    InjectedFault("zombie: stopped before it settles", _zombie, LEASE_BOUND),
    InjectedFault("SIGSTOP in a transaction", _frozen_with_locks, LEASE_BOUND),
    InjectedFault("SIGTERM", _asked_once, _STOP_BOUND, ends=True),
    InjectedFault("SIGTERM twice", _asked_twice, LEASE_BOUND, ends=True),
    InjectedFault("rolling restart of workers", _replaced, _STOP_BOUND, ends=True),
    InjectedFault("kill -9 deliver, claimed", partial(_deliverer_killed, step="claimed"), _DELIVER_BOUND, ends=True),
    InjectedFault("kill -9 deliver, posted", partial(_deliverer_killed, step="posted"), _DELIVER_BOUND, ends=True),
)
